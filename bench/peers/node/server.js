// Socket.IO and fastify the way their guides advise: websocket only, no compression, no request kept in memory.
import { randomUUID } from 'node:crypto';
import { createVerifier } from 'fast-jwt';
import Fastify from 'fastify';
import { Redis } from 'ioredis';
import pg from 'pg';
import { createAdapter } from '@socket.io/redis-adapter';
import { Server } from 'socket.io';
import { SEND, SIGN_IN, TOPICS } from './queries.js';

const { PORT, DATABASE_URL, REDIS_URL, JWT_SECRET } = process.env;
const pool = new pg.Pool({ connectionString: DATABASE_URL, max: 10 });
pg.types.setTypeParser(pg.types.builtins.INT8, Number);
const verify = createVerifier({
  key: JWT_SECRET,
  algorithms: ['HS256'],
  allowedAud: 'fitsync-api',
  allowedIss: 'fitsync-user-service',
});
const app = Fastify();
const io = new Server(app.server, {
  transports: ['websocket'],
  perMessageDeflate: false,
  httpCompression: false,
  serveClient: false,
  pingInterval: 25000,
  pingTimeout: 20000,
});
io.engine.on('connection', (raw) => {
  raw.request = null;
});
if (REDIS_URL) {
  const publisher = new Redis(REDIS_URL);
  io.adapter(createAdapter(publisher, publisher.duplicate()));
}

async function signIn(token) {
  const claims = verify(token);
  const { rows } = await pool.query(SIGN_IN, [claims.id, claims.sid]);
  if (rows.length === 0) throw new Error('session ended');
  return rows[0];
}

function envelope(message) {
  const topic = `conversation:${message.conversation_id}`;
  return { topic, seq: message.seq, at: message.created_at, data: message, v: 1 };
}

async function save(sender, conversation, clientId, text) {
  const at = new Date();
  const id = randomUUID();
  const { rows } = await pool.query(SEND, [conversation, sender, id, clientId, text, at]);
  if (rows.length === 0) throw new Error('not a member');
  return {
    id,
    conversation_id: conversation,
    seq: rows[0].seq,
    sender_id: sender,
    client_id: clientId,
    text,
    created_at: at.toISOString(),
  };
}

io.use(async (socket, next) => {
  try {
    socket.conn.me = await signIn(socket.handshake.auth.token);
    const { rows } = await pool.query(TOPICS, [socket.conn.me.id]);
    socket.conn.topics = rows.map((row) => `conversation:${row.id}`);
    next();
  } catch (error) {
    next(error);
  }
});
io.on('connection', (socket) => {
  socket.emit('session.ready', { topic: `user:${socket.conn.me.id}`, seq: null, data: { user: socket.conn.me }, v: 1 });
});

const chat = io.of('/chat');
chat.use((socket, next) => next(socket.conn.me ? undefined : new Error('not signed in')));
chat.on('connection', (socket) => {
  socket.join(socket.conn.topics);
  socket.on('send_message', async (body, ack) => {
    try {
      const message = await save(socket.conn.me.id, body.conversation_id, body.client_id, body.text);
      chat.to(`conversation:${message.conversation_id}`).emit('message.created', envelope(message));
      ack({ ok: true, data: message });
    } catch (error) {
      ack({ ok: false, error: { title: error.message } });
    }
  });
});

// Fan-out alone: nothing is stored.
const bench = io.of('/bench');
const seqs = new Map();
bench.use((socket, next) => next(socket.conn.me ? undefined : new Error('not signed in')));
bench.on('connection', (socket) => {
  socket.join(socket.conn.topics);
  socket.on('send_message', (body, ack) => {
    const topic = `conversation:${body.conversation_id}`;
    if (!socket.rooms.has(topic)) return ack({ ok: false, error: { title: 'not a member' } });
    const seq = (seqs.get(topic) ?? 0) + 1;
    seqs.set(topic, seq);
    const message = {
      id: randomUUID(),
      conversation_id: body.conversation_id,
      seq,
      sender_id: socket.conn.me.id,
      client_id: body.client_id,
      text: body.text,
      created_at: new Date().toISOString(),
    };
    bench.to(topic).emit('message.created', envelope(message));
    ack({ ok: true, data: message });
  });
});

const bearer = (request) => signIn((request.headers.authorization ?? '').slice(7));
const text = { type: 'string' };
const object = (...names) => ({ type: 'object', properties: Object.fromEntries(names.map((name) => [name, text])) });
const profile = object(
  'id', 'email', 'role', 'name', 'handle', 'bio', 'time_zone', 'locale', 'created_at', 'updated_at',
);
const saved = object('id', 'conversation_id', 'sender_id', 'client_id', 'text', 'created_at');
saved.properties.seq = { type: 'integer' };

app.get('/api/v1/users/me', { schema: { response: { 200: profile } } }, bearer);
app.post('/api/v1/conversations/:id/messages', { schema: { response: { 201: saved } } }, async (request, reply) => {
  const me = await bearer(request);
  const message = await save(me.id, request.params.id, request.body.client_id, request.body.text);
  chat.to(`conversation:${message.conversation_id}`).emit('message.created', envelope(message));
  return reply.code(201).send(message);
});

await app.listen({ host: '127.0.0.1', port: Number(PORT), backlog: 4096 });
console.log(`ready http://127.0.0.1:${app.server.address().port}`);
