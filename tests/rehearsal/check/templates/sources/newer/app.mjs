// ECS ignores callBackDelaySeconds: an older spelling.
export const handler = async () => ({ hookStatus: "IN_PROGRESS", callBackDelay: 60 });
