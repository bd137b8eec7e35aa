/** What the tenant configured for the plugin as a whole. */

import { get as ask } from 'crm:plugin/config@1.0.0';

export const get = () => JSON.parse(ask());
