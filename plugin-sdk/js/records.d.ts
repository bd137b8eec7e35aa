export interface Found<T> {
  id: string;
  version: number;
  data: T;
  ownerId: string;
  createdAt: string;
  updatedAt: string;
}

export function get<T = Record<string, unknown>>(module: string, id: string): Found<T> | null;
export function query<T = Record<string, unknown>>(
  module: string,
  query: object,
): { records: Found<T>[]; nextCursor: string | null };
export function aggregate<T = unknown>(module: string, query: object): T;
