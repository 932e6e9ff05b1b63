// The load profile: 10, 50 and 100 requests per second, then up to ten clients that ask as quickly as they are answered,
// over what clients of a CRM do. `make load` runs it on an installation of its own; see scripts/load.sh.
//
// TARGET is the API's address and KEY one of an organization's keys, which the load writes contacts and jobs into.
// LOAD_DURATION is how long each of the four stages takes, in seconds.

import http from 'k6/http';
import exec from 'k6/execution';
import { check, sleep } from 'k6';
import { Counter, Gauge } from 'k6/metrics';

const target = (__ENV.TARGET || '').replace(/\/+$/, '');
const loopback = /^https?:\/\/(127\.\d+\.\d+\.\d+|localhost|\[::1\])(:\d+)?$/;
if (!loopback.test(target) && __ENV.LOAD_TARGET !== __ENV.TARGET) {
  throw new Error(`TARGET is ${target || 'not set'}: only this machine is put under load, unless LOAD_TARGET names another`);
}
const duration = Number(__ENV.LOAD_DURATION || 30);
if (!Number.isInteger(duration) || duration < 5 || duration > 600) {
  throw new Error('LOAD_DURATION: want a whole number of seconds from 5 to 600');
}

const submitted = new Counter('jobs_submitted');
const succeeded = new Counter('jobs_succeeded');
const failed = new Counter('jobs_failed');
const unfinished = new Gauge('jobs_unfinished');

const rates = [10, 50, 100];
const clients = 10;

function steady(rate, place) {
  return {
    executor: 'constant-arrival-rate', rate, timeUnit: '1s', duration: `${duration}s`, startTime: `${place * (duration + 2)}s`,
    preAllocatedVUs: rate, maxVUs: 2 * rate, gracefulStop: '2s', tags: { stage: `at_${rate}` },
  };
}

const scenarios = { ramp: {
  executor: 'ramping-vus', startVUs: 1, startTime: `${rates.length * (duration + 2)}s`, gracefulStop: '2s', gracefulRampDown: '2s',
  stages: [{ duration: `${Math.ceil(duration / 2)}s`, target: clients }, { duration: `${Math.floor(duration / 2)}s`, target: clients }],
  tags: { stage: 'ramp' },
} };
rates.forEach((rate, place) => { scenarios[`at_${rate}`] = steady(rate, place); });

// Each row is what is asked for, by whom, of which metric, and the threshold that it is held to. Ours are for two processors
// that run the whole installation and k6 besides.
const promises = [
  ['response time, p95', 'guide', 'http_req_duration{load:yes}', 'p(95)<500'],
  ['errors', 'guide', 'http_req_failed{load:yes}', 'rate<0.01'],
  [`requests of the ${duration} s at 100/s`, 'guide', 'http_reqs{stage:at_100}', `count>${50 * duration}`],
  [`requests of ten clients in ${duration} s`, 'guide', 'http_reqs{stage:ramp}', `count>${50 * duration}`],
  ['errors', 'ours', 'http_req_failed{load:yes}', 'rate==0'],
  ['checks that fail', 'ours', 'checks', 'rate==1'],
  ['requests that came too late', 'ours', 'dropped_iterations', 'count==0'],
  ['all at 100/s, p95', 'ours', 'http_req_duration{stage:at_100}', 'p(95)<100'],
  ['a cached read at 100/s, p95', 'ours', 'http_req_duration{stage:at_100,what:cached}', 'p(95)<25'],
  ['the dashboard at 100/s, p95', 'ours', 'http_req_duration{stage:at_100,what:dashboard}', 'p(95)<50'],
  ['a list with its deals at 100/s, p95', 'ours', 'http_req_duration{stage:at_100,what:list}', 'p(95)<50'],
  ['a contact with all at 100/s, p95', 'ours', 'http_req_duration{stage:at_100,what:detail}', 'p(95)<50'],
  ['a new contact at 100/s, p95', 'ours', 'http_req_duration{stage:at_100,what:create}', 'p(95)<50'],
  ['a job submitted at 100/s, p95', 'ours', 'http_req_duration{stage:at_100,what:submit}', 'p(95)<50'],
  ['a job looked at, at 100/s, p95', 'ours', 'http_req_duration{stage:at_100,what:job}', 'p(95)<25'],
  ['jobs that have not ended', 'ours', 'jobs_unfinished', 'value==0'],
  ['jobs that failed', 'ours', 'jobs_failed', 'count==0'],
];

const thresholds = {};
for (const [, , metric, limit] of promises) {
  thresholds[metric] = [...(thresholds[metric] || []), limit];
}

export const options = {
  scenarios, thresholds, setupTimeout: '60s', teardownTimeout: '120s', summaryTrendStats: ['med', 'p(95)', 'p(99)', 'max'],
  noConnectionReuse: false, userAgent: 'payaid-load', insecureSkipTLSVerify: loopback.test(target),
};

function ask(method, path, body, what) {
  const tags = { name: `${method} ${path.replace(/[0-9a-f-]{36}/, 'ID').split('?')[0]}`, what: what || 'other', load: what ? 'yes' : 'no' };
  const headers = { Authorization: `Bearer ${__ENV.KEY}`, 'Content-Type': 'application/json' };
  return http.request(method, target + path, body && JSON.stringify(body), { headers, tags });
}

function ok(answer, status) {
  const fine = check(answer, { 'is answered as it should be': (r) => r.status === status });
  if (!fine) {
    console.error(`${answer.request.method} ${answer.request.url}: ${answer.status} ${answer.error} ${String(answer.body).slice(0, 300)}`);
  }
  return fine;
}

// setup finds contacts that jobs can be about.
export function setup() {
  const contacts = [];
  for (let cursor = ''; contacts.length < 1000 && cursor !== null;) {
    const page = ask('GET', `/api/contacts?limit=200${cursor && `&cursor=${encodeURIComponent(cursor)}`}`);
    if (page.status !== 200) {
      throw new Error(`${target} answers ${page.status} ${page.error} ${page.body}`);
    }
    page.json('data').forEach((c) => contacts.push(c.id));
    cursor = page.json('next_cursor');
  }
  if (contacts.length === 0) {
    throw new Error('the organization has no contacts');
  }
  return { contacts, began: new Date().toISOString() };
}

let last = null; // job of this client

const pick = (list) => list[Math.floor(Math.random() * list.length)];

// What clients do, and how often in a hundred.
const mix = [
  [20, () => ok(ask('GET', '/api/contacts?include=deals,invoices', null, 'list'), 200)],
  [8, () => ok(ask('GET', `/api/contacts?q=${pick(['rao', 'sharma', 'patel', 'kumar', 'asha'])}`, null, 'search'), 200)],
  [7, () => ok(ask('GET', '/api/invoices', null, 'list'), 200)],
  [5, () => ok(ask('GET', '/api/deals', null, 'list'), 200)],
  [20, (data) => ok(ask('GET', `/api/contacts/${pick(data.contacts)}?include=deals,invoices`, null, 'detail'), 200)],
  // Much that happens here changes it, so it is made anew time and again.
  [10, () => ok(ask('GET', '/api/dashboard/metrics', null, 'dashboard'), 200)],
  [5, () => ok(ask('GET', '/api/organization', null, 'cached'), 200)],
  [8, () => ok(ask('POST', '/api/contacts', { name: `Load ${exec.scenario.iterationInTest}`, city: 'Kochi', state: 'Kerala' }, 'create'), 201)],
  [10, submit],
  [7, poll],
];
const whole = mix.reduce((sum, [share]) => sum + share, 0);

function submit(data) {
  const answer = ask('POST', '/api/jobs', { kind: 'ai.lead_score', input: { contact_id: pick(data.contacts) } }, 'submit');
  if (ok(answer, 202)) {
    last = answer.json('id');
    submitted.add(1);
  }
}

function poll(data) {
  if (last === null) {
    return submit(data);
  }
  return ok(ask('GET', `/api/jobs/${last}`, null, 'job'), 200);
}

export default function (data) {
  let at = Math.random() * whole;
  for (const [share, act] of mix) {
    if ((at -= share) < 0) {
      act(data);
      return;
    }
  }
}

// teardown waits until all jobs have ended, and counts how.
export function teardown(data) {
  const since = `created_after=${encodeURIComponent(data.began)}`;
  const waiting = () => ['queued', 'running'].some((status) => ask('GET', `/api/jobs?status=${status}&limit=1&${since}`).json('data').length > 0);
  const deadline = Date.now() + 90e3;
  while (waiting() && Date.now() < deadline) {
    sleep(0.5);
  }
  let left = 0;
  for (let cursor = ''; cursor !== null;) {
    const page = ask('GET', `/api/jobs?limit=200&${since}${cursor && `&cursor=${encodeURIComponent(cursor)}`}`);
    for (const job of page.json('data')) {
      if (job.status === 'succeeded') {
        succeeded.add(1);
      } else if (job.status === 'queued' || job.status === 'running') {
        left += 1;
      } else {
        failed.add(1);
        console.error(`job ${job.id} ${job.status}: ${JSON.stringify(job.error)}`);
      }
    }
    cursor = page.json('next_cursor');
  }
  unfinished.add(left);
}

const round = (n) => (n === undefined ? '-' : String(Math.round(n * 1000) / 1000));

function measured(metric, limit) {
  const name = limit.match(/^[a-z]+(\(\d+\))?/)[0];
  return metric && metric.values[name];
}

// handleSummary prints k6's figures, then what was promised beside what was measured.
export function handleSummary(data) {
  const lines = [];
  for (const name of Object.keys(data.metrics).sort()) {
    const values = Object.entries(data.metrics[name].values).map(([k, v]) => `${k}=${round(v)}`).join(' ');
    lines.push(`${name.padEnd(56)} ${values}`);
  }
  lines.push('', `${'what'.padEnd(38)} ${'of'.padEnd(6)} ${'limit'.padEnd(14)} ${'measured'.padEnd(10)}`);
  for (const [what, whose, metric, limit] of promises) {
    const found = data.metrics[metric];
    const kept = !found || !found.thresholds || !found.thresholds[limit] || found.thresholds[limit].ok;
    lines.push(`${what.padEnd(38)} ${whose.padEnd(6)} ${limit.padEnd(14)} ${round(measured(found, limit)).padEnd(10)} ${kept ? '' : 'NOT KEPT'}`.trimEnd());
  }
  const count = (name) => (data.metrics[name] ? data.metrics[name].values.count : 0);
  const lost = Math.max(0, count('jobs_submitted') - count('jobs_succeeded') - count('jobs_failed'));
  lines.push(`${'jobs that were accepted and are lost'.padEnd(38)} ${'ours'.padEnd(6)} ${'count==0'.padEnd(14)} ${String(lost).padEnd(10)} ${lost ? 'NOT KEPT' : ''}`.trimEnd());
  const clientsAsked = count('http_reqs{stage:ramp}') / duration;
  lines.push('', `${count('jobs_submitted')} jobs submitted, ${count('jobs_succeeded')} succeeded; ${count('http_reqs')} requests in all, ${Math.round(clientsAsked)} a second by ten clients`, '');
  const out = { stdout: lines.join('\n') };
  if (__ENV.LOAD_VERDICT) {
    out[__ENV.LOAD_VERDICT] = JSON.stringify({ lost });
  }
  return out;
}
