export function handle(name: string): string;
