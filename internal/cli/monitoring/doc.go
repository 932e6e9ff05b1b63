// Package monitoring holds the tests of what deploy/ has for Prometheus and Grafana: every figure that an alert or a
// panel asks for is one that a running product tells, and alerts fire when they should.
package monitoring
