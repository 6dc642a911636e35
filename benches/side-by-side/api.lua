-- The mix of api.py, for wrk: 70 % reads, 20 % writes, 10 % refreshes. Each connection waits between requests, so that the rate is given.
local state, pause

function init(arguments)
    state = dofile(arguments[1])
    pause = tonumber(arguments[2])
    math.randomseed(7)
end

function delay()
    return pause
end

local function signed(method, path, body)
    local headers = { ["authorization"] = "Bearer " .. state.access[math.random(#state.access)] }
    if body then headers["content-type"] = "application/json" end
    return wrk.format(method, "/api/v1" .. path, headers, body)
end

function request()
    local dice = math.random(100)
    if dice <= 35 then
        return signed("GET", "/users/person_" .. math.random(0, state.people - 1))
    elseif dice <= 60 then
        return signed("GET", "/users/" .. state.ids[math.random(#state.ids)] .. "/followers")
    elseif dice <= 70 then
        return wrk.format("GET", "/api/v1/streams?status=live")
    elseif dice <= 85 then
        return signed("PUT", "/users/" .. state.ids[math.random(300, #state.ids)] .. "/follow")
    elseif dice <= 90 then
        return signed("PATCH", "/users/me", '{"bio":"' .. math.random(1e9) .. '"}')
    end
    local token = table.remove(state.refresh, 1)
    if not token then return signed("GET", "/users/me") end
    return wrk.format("POST", "/api/v1/auth/refresh", { ["content-type"] = "application/json" }, '{"refresh_token":"' .. token .. '"}')
end

function response(status, headers, body)
    local token = body:match('"refresh_token":"([^"]+)"')
    if token then table.insert(state.refresh, token) end
end

function done(summary, latency)
    local errors = summary.errors
    io.write(string.format('REPORT {"rate": %f, "p50": %f, "p95": %f, "p99": %f, "errors": %d}\n',
        summary.requests / (summary.duration / 1e6), latency:percentile(50) / 1000, latency:percentile(95) / 1000, latency:percentile(99) / 1000,
        errors.connect + errors.read + errors.write + errors.status + errors.timeout))
end
