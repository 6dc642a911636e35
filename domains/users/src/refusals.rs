//! How handlers refuse, as the API's description says it: sets of problem statuses that go together.

use std::collections::BTreeMap;

use utoipa::IntoResponses;
use utoipa::openapi::{ContentBuilder, Ref, RefOr, Response, ResponseBuilder};

fn problems(list: &[(&str, &str)]) -> BTreeMap<String, RefOr<Response>> {
    list.iter()
        .map(|(status, why)| {
            let content = ContentBuilder::new()
                .schema(Some(Ref::from_schema_name("Problem")))
                .build();
            let response = ResponseBuilder::new()
                .description(*why)
                .content("application/problem+json", content)
                .build();
            ((*status).to_owned(), response.into())
        })
        .collect()
}

macro_rules! refusals {
    ($($(#[$docs:meta])* $name:ident { $($status:literal $why:literal),+ })+) => {
        $(
            $(#[$docs])*
            pub(crate) enum $name {}

            impl IntoResponses for $name {
                fn responses() -> BTreeMap<String, RefOr<Response>> {
                    problems(&[$(($status, $why)),+])
                }
            }
        )+
    };
}

refusals! {
    /// Of every route: the token that was shown is not good, the token may not do this, too often, the database is busy.
    Guarded {
        "401" "nobody has proved who they are, or the token is not valid",
        "403" "known, but not allowed",
        "429" "too often; `Retry-After` says when again",
        "503" "the server is busy; `Retry-After` says when again"
    }
    /// Of routes with something in the path.
    Missing { "404" "not there, or not to be known" }
    /// Of routes with parameters in the query.
    Query { "422" "a parameter is not as it must be" }
    /// Of routes with a JSON body.
    Body {
        "400" "the body is not JSON",
        "413" "the body is too large",
        "415" "the body is not `application/json`",
        "422" "a field is not as it must be; `errors` names them"
    }
    /// Of routes that can be in conflict with what is there.
    Conflict { "409" "in conflict with what is there" }
}
