import { describe, expect, it } from 'vitest';
import { type Description, filtered, Reader } from './openapi';

const DESCRIPTION: Description = {
  tags: [{ name: 'users', description: 'People' }, { name: 'nothing' }],
  components: {
    schemas: {
      Name: { type: 'string', minLength: 3, maxLength: 30, description: 'A handle' },
      Level: { type: 'string', enum: ['public', 'private'], default: 'public' },
      Link: { type: 'object', required: ['url'], properties: { url: { type: 'string', format: 'uri' }, title: { type: ['string', 'null'] } } },
      Card: { type: 'object', required: ['id'], properties: { id: { type: 'string', format: 'uuid' } } },
      Person: {
        allOf: [
          { $ref: '#/components/schemas/Card' },
          {
            type: 'object',
            required: ['name', 'links'],
            properties: {
              name: { $ref: '#/components/schemas/Name', description: 'Their name' },
              links: { type: 'array', items: { $ref: '#/components/schemas/Link' }, maxItems: 5 },
              level: { $ref: '#/components/schemas/Level' },
              friend: { oneOf: [{ $ref: '#/components/schemas/Person' }, { type: 'null' }] },
            },
          },
        ],
      },
    },
  },
  paths: {
    '/api/v1/users/{name}': {
      get: { tags: ['users'], summary: "Somebody's profile.", responses: { '200': { content: { 'application/json': { schema: { $ref: '#/components/schemas/Person' } } } }, '404': { description: 'not there' } } },
      patch: {
        tags: ['users'],
        security: [{ bearer: [] }],
        parameters: [{ name: 'name', in: 'path', required: true, schema: { $ref: '#/components/schemas/Name' } }],
        requestBody: { content: { 'application/json': { schema: { $ref: '#/components/schemas/Link' } } } },
        responses: { '204': { description: "It's done" } },
      },
    },
    '/odd': { get: { responses: {} } },
  },
};

const reader = new Reader(DESCRIPTION);
const person = { $ref: '#/components/schemas/Person' };

describe('Reader', () => {
  it('resolves references with what stands beside them, and allOf', () => {
    const whole = reader.resolve(person);
    expect(Object.keys(whole.properties ?? {})).toEqual(['id', 'name', 'links', 'level', 'friend']);
    expect(whole.required).toEqual(['id', 'name', 'links']);
    expect(reader.resolve(whole.properties?.['name']).description).toBe('Their name');
    expect(reader.resolve({ $ref: '#/components/schemas/Gone' })).toEqual({});
  });

  it('names types', () => {
    const types = Object.fromEntries(reader.rows(person).map(({ name, type }) => [name, type]));
    expect(types).toMatchObject({
      id: 'string (uuid)',
      links: 'list of object',
      'links[].url': 'string (uri)',
      'links[].title': 'string or null',
      level: '"public" | "private"',
      friend: 'object or null',
    });
  });

  it('ends in a schema that holds itself', () => {
    const deepest = Math.max(...reader.rows(person).map(({ name }) => name.split('friend').length));
    expect(deepest).toBeLessThan(8);
  });

  it('puts bounds in words', () => {
    const rules = Object.fromEntries(reader.rows(person).map(({ name, rule }) => [name, rule]));
    expect(rules).toMatchObject({ name: '3 to 30 characters', links: 'at most 5 entries', level: 'default "public"' });
  });

  it('makes a sample of what is required', () => {
    expect(reader.sample(person)).toEqual({ id: '01900000-0000-7000-8000-000000000000', name: 'text', links: [{ url: 'https://example.org' }] });
  });

  it('groups by tag and gives a line for a shell', () => {
    const groups = reader.groups('http://localhost:8080');
    expect(groups.map(({ name, operations }) => [name, operations.length])).toEqual([
      ['users', 2],
      ['other', 1],
    ]);
    const [get, patch] = groups[0]?.operations ?? [];
    expect(get).toMatchObject({ method: 'GET', summary: "Somebody's profile", guarded: false, refusals: [{ status: '404', description: 'not there' }] });
    expect(get?.curl).toBe('curl http://localhost:8080/api/v1/users/NAME');
    expect(patch?.curl).toBe(
      `curl -X PATCH -H "Authorization: Bearer $TOKEN" -H 'Content-Type: application/json' -d '{"url":"https://example.org"}' http://localhost:8080/api/v1/users/NAME`,
    );
    expect(patch?.parameters[0]).toMatchObject({ place: 'path', row: { name: 'name', required: true } });
  });

  it('filters by every word', () => {
    const groups = reader.groups('');
    const found = (filter: string) => filtered(groups, filter).flatMap(({ operations }) => operations.map(({ id }) => id));
    expect(found('users PATCH')).toEqual(['patch-api-v1-users-name']);
    expect(found('profile')).toEqual(['get-api-v1-users-name']);
    expect(found('nobody')).toEqual([]);
    expect(found(' ')).toHaveLength(3);
  });
});
