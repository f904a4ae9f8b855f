// The queues that scripts send messages to. Nothing consumes the messages locally: they are accepted and dropped.
export default {
  async fetch(request) {
    await request.arrayBuffer();
    return Response.json({ metadata: { metrics: { backlogCount: 0, backlogBytes: 0 } } });
  },
};
