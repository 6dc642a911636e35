/** A description of an API (OpenAPI 3.1) as the page shows it: references resolved, schemas as rows, a `curl` line for everything. */

export interface Schema {
  $ref?: string;
  type?: string | string[];
  format?: string;
  description?: string;
  properties?: Record<string, Schema>;
  required?: string[];
  items?: Schema;
  additionalProperties?: boolean | Schema;
  allOf?: Schema[];
  oneOf?: Schema[];
  anyOf?: Schema[];
  enum?: unknown[];
  const?: unknown;
  default?: unknown;
  example?: unknown;
  examples?: unknown[];
  minimum?: number;
  maximum?: number;
  minLength?: number;
  maxLength?: number;
  minItems?: number;
  maxItems?: number;
  pattern?: string;
}

interface Media {
  schema?: Schema;
}

interface Parameter {
  $ref?: string;
  name: string;
  in: string;
  description?: string;
  required?: boolean;
  schema?: Schema;
}

interface RawOperation {
  tags?: string[];
  summary?: string;
  description?: string;
  parameters?: Parameter[];
  requestBody?: { required?: boolean; content?: Record<string, Media> };
  responses?: Record<string, { description?: string; content?: Record<string, Media> }>;
  security?: Record<string, string[]>[];
  deprecated?: boolean;
}

export interface Description {
  info?: { title?: string; description?: string; version?: string };
  tags?: { name: string; description?: string }[];
  security?: Record<string, string[]>[];
  paths?: Record<string, Record<string, RawOperation> & { parameters?: Parameter[] }>;
  components?: { schemas?: Record<string, Schema>; parameters?: Record<string, Parameter> };
}

/** One line of a schema. */
export interface Row {
  /** `links[].url` */
  name: string;
  type: string;
  required: boolean;
  /** Bounds and default in words. */
  rule: string;
  description: string;
}

export interface Answer {
  status: string;
  description: string;
  contentType: string;
  rows: Row[];
  type: string;
}

export interface Operation {
  id: string;
  method: string;
  path: string;
  summary: string;
  description: string;
  deprecated: boolean;
  /** Wants somebody logged in. */
  guarded: boolean;
  parameters: { place: string; row: Row }[];
  body: { contentType: string; type: string; rows: Row[]; sample: string } | null;
  /** What it answers when it works. */
  answers: Answer[];
  /** What it answers when it does not: problem+json throughout. */
  refusals: { status: string; description: string }[];
  curl: string;
  /** Lower case, what the filter looks in. */
  words: string;
}

export interface Group {
  name: string;
  description: string;
  operations: Operation[];
}

const METHODS = ['get', 'post', 'put', 'patch', 'delete', 'head', 'options'];
/** Deeper than this a row says "object"; a schema that holds itself ends here, too. */
const DEEPEST = 4;

export class Reader {
  constructor(private readonly all: Description) {}

  /** The schema itself, with what stands beside its reference (allowed since 3.1), and `allOf` as one. */
  resolve(schema: Schema | undefined, depth = 0): Schema {
    if (!schema || depth > 16) return {};
    const { $ref, allOf, ...beside } = schema;
    let whole: Schema = beside;
    if ($ref !== undefined) whole = { ...this.resolve(this.#named($ref), depth + 1), ...beside };
    if (allOf) {
      const parts = [...allOf.map((part) => this.resolve(part, depth + 1)), whole];
      whole = {
        ...Object.assign({}, ...parts),
        properties: Object.assign({}, ...parts.map(({ properties }) => properties)),
        required: parts.flatMap(({ required }) => required ?? []),
      };
    }
    // `oneOf: [X, null]` is an X that may be absent.
    const choice = whole.oneOf ?? whole.anyOf;
    const [only, ...more] = (choice ?? []).filter((one) => one.type !== 'null');
    if (choice && only && more.length === 0 && choice.length === 2) {
      const { oneOf: _one, anyOf: _any, ...rest } = whole;
      const inner = this.resolve(only, depth + 1);
      return { ...inner, ...rest, type: [...types(inner), 'null'] };
    }
    return whole;
  }

  #named(ref: string): Schema | undefined {
    const name = /^#\/components\/schemas\/(.+)$/.exec(ref)?.[1];
    return name === undefined ? undefined : this.all.components?.schemas?.[name.replaceAll('~1', '/').replaceAll('~0', '~')];
  }

  /** `string`, `integer or null`, `list of ProfileLink`, `"public" | "private"`. */
  type(schema: Schema | undefined): string {
    const whole = this.resolve(schema);
    const nullable = types(whole).includes('null') ? ' or null' : '';
    if (whole.enum) return whole.enum.map((value) => JSON.stringify(value)).join(' | ') + nullable;
    if (whole.const !== undefined) return JSON.stringify(whole.const);
    const choice = whole.oneOf ?? whole.anyOf;
    if (choice) return [...new Set(choice.map((one) => this.type(one)))].join(' | ') + nullable;
    const plain = types(whole).filter((one) => one !== 'null');
    if (plain.includes('array')) return `list of ${this.type(whole.items)}${nullable}`;
    if (plain.length === 0) return whole.properties ? `object${nullable}` : 'anything';
    return plain.map((one) => (whole.format ? `${one} (${whole.format})` : one)).join(' | ') + nullable;
  }

  /** Every field below `schema`, a line each. */
  rows(schema: Schema | undefined, prefix = '', depth = 0): Row[] {
    const whole = this.resolve(schema);
    if (types(whole).includes('array') && whole.items) return this.rows(whole.items, `${prefix}[]`, depth + 1);
    const rows: Row[] = [];
    for (const [name, property] of Object.entries(whole.properties ?? {})) {
      const full = prefix === '' ? name : `${prefix}.${name}`;
      rows.push(this.#row(full, property, whole.required?.includes(name) ?? false));
      if (depth < DEEPEST) rows.push(...this.rows(property, full, depth + 1));
    }
    return rows;
  }

  #row(name: string, schema: Schema | undefined, required: boolean): Row {
    const whole = this.resolve(schema);
    return { name, type: this.type(schema), required, rule: rule(whole), description: whole.description ?? '' };
  }

  /** Something that fits, to begin with. Of an object: what is required; of one where nothing is: all of it. */
  sample(schema: Schema | undefined, depth = 0): unknown {
    const whole = this.resolve(schema);
    const given = whole.example ?? whole.examples?.[0] ?? whole.const ?? whole.default ?? whole.enum?.[0];
    if (given !== undefined && given !== null) return given;
    const choice = whole.oneOf ?? whole.anyOf;
    if (choice) return this.sample(choice[0], depth + 1);
    const [type] = types(whole).filter((one) => one !== 'null');
    if (type === 'array') return depth > DEEPEST ? [] : [this.sample(whole.items, depth + 1)];
    if (type === 'object' || whole.properties) {
      const names = Object.keys(whole.properties ?? {});
      const required = names.filter((name) => whole.required?.includes(name));
      const wanted = depth > DEEPEST ? [] : required.length > 0 ? required : names;
      return Object.fromEntries(wanted.map((name) => [name, this.sample(whole.properties?.[name], depth + 1)]));
    }
    if (type === 'integer' || type === 'number') return whole.minimum ?? 0;
    if (type === 'boolean') return false;
    return { 'date-time': '2026-01-01T00:00:00Z', uuid: '01900000-0000-7000-8000-000000000000', uri: 'https://example.org' }[whole.format ?? ''] ?? 'text';
  }

  /** Everything, by tag, in the order of the description's tags. */
  groups(origin: string): Group[] {
    const groups = new Map<string, Group>();
    for (const { name, description } of this.all.tags ?? []) groups.set(name, { name, description: description ?? '', operations: [] });
    for (const [path, item] of Object.entries(this.all.paths ?? {})) {
      for (const method of METHODS) {
        const raw = item[method];
        if (!raw) continue;
        for (const tag of raw.tags ?? ['other']) {
          const group = groups.get(tag) ?? { name: tag, description: '', operations: [] };
          groups.set(tag, group);
          group.operations.push(this.#operation(origin, path, method, raw, item.parameters ?? []));
        }
      }
    }
    return [...groups.values()].filter((group) => group.operations.length > 0);
  }

  #operation(origin: string, path: string, method: string, raw: RawOperation, shared: Parameter[]): Operation {
    const parameters = [...shared, ...(raw.parameters ?? [])].map((one) => {
      const parameter = one.$ref ? (this.all.components?.parameters?.[one.$ref.split('/').pop() ?? ''] ?? one) : one;
      const row = this.#row(parameter.name, parameter.schema, parameter.required ?? false);
      return { place: parameter.in, row: { ...row, description: parameter.description ?? row.description } };
    });
    const [contentType, media] = Object.entries(raw.requestBody?.content ?? {})[0] ?? [];
    const body =
      contentType === undefined
        ? null
        : {
            contentType,
            type: this.type(media?.schema),
            rows: this.rows(media?.schema),
            sample: /json/.test(contentType) ? JSON.stringify(this.sample(media?.schema)) : '',
          };
    const guarded = (raw.security ?? this.all.security ?? []).some((one) => Object.keys(one).length > 0);
    const answers: Answer[] = [];
    const refusals: Operation['refusals'] = [];
    for (const [status, { description = '', content }] of Object.entries(raw.responses ?? {})) {
      if (/^[45]/.test(status)) {
        refusals.push({ status, description });
        continue;
      }
      const [type = '', one] = Object.entries(content ?? {})[0] ?? [];
      answers.push({ status, description, contentType: type, rows: this.rows(one?.schema), type: one?.schema ? this.type(one.schema) : '' });
    }
    const summary = (raw.summary ?? '').replace(/\.$/, '');
    return {
      id: `${method}-${path}`.replace(/[^a-zA-Z0-9]+/g, '-').replace(/-$/, ''),
      method: method.toUpperCase(),
      path,
      summary,
      description: raw.description ?? '',
      deprecated: raw.deprecated ?? false,
      guarded,
      parameters,
      body,
      answers,
      refusals,
      curl: curl(origin, path, method, guarded, body),
      words: `${method} ${path} ${summary} ${raw.description ?? ''}`.toLowerCase(),
    };
  }
}

function types({ type }: Schema): string[] {
  return type === undefined ? [] : Array.isArray(type) ? type : [type];
}

function rule(schema: Schema): string {
  const between = (least: number | undefined, most: number | undefined, of: string): string | null => {
    if (least !== undefined && most !== undefined) return `${least} to ${most}${of}`;
    if (least !== undefined) return `at least ${least}${of}`;
    return most === undefined ? null : `at most ${most}${of}`;
  };
  return [
    between(schema.minLength, schema.maxLength, ' characters'),
    between(schema.minItems, schema.maxItems, ' entries'),
    between(schema.minimum, schema.maximum, ''),
    schema.default === undefined || schema.default === null || typeof schema.default === 'object' ? null : `default ${JSON.stringify(schema.default)}`,
  ]
    .filter((part) => part !== null)
    .join(', ');
}

/** A line to paste into a shell. Placeholders of the path stay in capitals: a shell would take braces for its own. */
function curl(origin: string, path: string, method: string, guarded: boolean, body: Operation['body']): string {
  const words = ['curl'];
  if (method !== 'get') words.push('-X', method.toUpperCase());
  if (guarded) words.push('-H', '"Authorization: Bearer $TOKEN"');
  if (body) {
    words.push('-H', quote(`Content-Type: ${body.contentType}`));
    words.push(body.sample === '' ? '--data-binary @FILE' : `-d ${quote(body.sample)}`);
  }
  words.push(quote(origin + path.replace(/\{\*?(\w+)\}/g, (_all, name: string) => name.toUpperCase())));
  return words.join(' ');
}

function quote(text: string): string {
  return /^[\w:/.@-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}

/** The operations in which every word of `filter` occurs. */
export function filtered(groups: Group[], filter: string): Group[] {
  const wanted = filter.toLowerCase().split(/\s+/).filter((word) => word !== '');
  if (wanted.length === 0) return groups;
  return groups
    .map((group) => ({
      ...group,
      operations: group.operations.filter(({ words }) => wanted.every((word) => words.includes(word) || group.name.includes(word))),
    }))
    .filter((group) => group.operations.length > 0);
}
