// A receiver as they are written in Node.js: it verifies what comes by the library of Standard Webhooks, and by the few
// lines that the original product's receivers have. The secret and what to change before are in the URL.
const http = require('node:http')
const crypto = require('node:crypto')
const { Webhook } = require('standardwebhooks')

const server = http.createServer((request, response) => {
  const parts = []
  request.on('data', (part) => parts.push(part))
  request.on('end', () => {
    const query = new URL(request.url, 'http://receiver').searchParams
    let body = Buffer.concat(parts).toString('utf8')
    const headers = { ...request.headers }
    if (query.get('change') === 'body') body = body.replace('1', '2')
    if (query.get('change') === 'id') headers['webhook-id'] += '0'
    if (query.get('change') === 'time') headers['webhook-timestamp'] = String(Number(headers['webhook-timestamp']) + 1)
    const said = { standard: 'ok', type: null, original: false }
    try {
      said.type = new Webhook(query.get('secret')).verify(body, headers).type
    } catch (e) {
      said.standard = e.message
    }
    const signature = crypto.createHmac('sha256', query.get('secret')).update(body).digest('hex')
    said.original = signature === headers['x-webhook-signature']
    response.writeHead(200, { 'content-type': 'application/json' })
    response.end(JSON.stringify(said))
  })
})
server.listen(0, '127.0.0.1', () => console.log(server.address().port))
process.stdin.on('end', () => process.exit()).resume()
