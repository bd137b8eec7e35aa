export function get<T = unknown>(key: string): { value: T; version: number } | null;
export function set(key: string, value: unknown): void;
export function remove(key: string): void;
