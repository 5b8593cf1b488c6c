import { wait } from "./reply.mjs";

export const handler = async () => wait();
