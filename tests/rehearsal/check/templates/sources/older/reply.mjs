export const wait = () => ({ hookStatus: "IN_PROGRESS", callBackDelaySeconds: 60 });
