import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type Cores, cores } from '../cores.ts'
import { freePort, Server } from './server.ts'

export type NginxServerOptions = {
  /** Of its directory, and in error messages. */
  name?: string
  workers?: number
  on?: Cores
}

/** Debian's nginx as a caching proxy of a registry. */
export async function startNginx(
  parent: string,
  upstream: string,
  { name = 'nginx', workers = 1, on = cores.server }: NginxServerOptions = {},
): Promise<Server> {
  const directory = join(parent, name)
  await mkdir(directory)
  const port = await freePort()
  const file = join(directory, 'nginx.conf')
  await writeFile(file, nginxConfig({ directory, port, upstream: new URL(upstream).host, workers }))
  return Server.start({
    name,
    command: '/usr/sbin/nginx',
    args: ['-p', directory, '-e', join(directory, 'error.log'), '-c', file],
    cores: on,
    url: `http://127.0.0.1:${port}`,
    log: join(directory, 'output.log'),
    requestLogs: [join(directory, 'access.log')],
  })
}

type NginxOptions = {
  directory: string
  port: number
  upstream: string
  workers: number
  user?: string | undefined
}

/**
 * What somebody who knows nginx would give it for this work: nothing that Cistern does is left out, and nothing that
 * Cistern does not do is put in. `bench/README.md` says why each line is there.
 */
export const nginxConfig = ({ directory, port, upstream, workers, user = whoRuns() }: NginxOptions): string => `
${user ? `user ${user};` : ''}
daemon off;
worker_processes ${workers};
pid ${directory}/nginx.pid;
error_log ${directory}/error.log warn;
events {
  worker_connections 4096;
}
http {
  log_format json escape=json '{"level":"info","time":"$time_iso8601","requestId":"$request_id","client":"$remote_addr",'
    '"method":"$request_method","path":"$uri","status":$status,"bytes":$body_bytes_sent,'
    '"durationMs":$request_time,"cache":"$upstream_cache_status","msg":"request"}';
  access_log ${directory}/access.log json buffer=64k flush=1s;
  sendfile on;
  tcp_nopush on;
  keepalive_requests 1000000000;
  client_body_temp_path ${directory}/body;
  proxy_temp_path ${directory}/temporary;
  fastcgi_temp_path ${directory}/fastcgi;
  uwsgi_temp_path ${directory}/uwsgi;
  scgi_temp_path ${directory}/scgi;
  proxy_cache_path ${directory}/cache levels=1:2 keys_zone=registry:64m max_size=50g inactive=7d use_temp_path=off;
  upstream registry {
    server ${upstream};
    keepalive 64;
  }
  server {
    listen 127.0.0.1:${port};
    location / {
      proxy_pass http://registry;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header Host ${upstream};
      proxy_cache registry;
      proxy_cache_key $uri;
      proxy_cache_valid 200 10m;
      proxy_cache_lock on;
      proxy_cache_lock_timeout 10m;
      proxy_cache_lock_age 10m;
      proxy_buffers 16 64k;
      proxy_busy_buffers_size 128k;
    }
  }
}
`

/** As root nginx gives its worker another user, who may not enter a temporary directory of ours. */
const whoRuns = (): string | undefined => (process.getuid?.() === 0 ? 'root' : undefined)
