// Package localstack runs the services that PayAid needs on one machine:
// Postgres and Redis as supervised child processes, NATS with JetStream inside
// the process, and a mail sink. `payaid up` lives on it, and so do the tests,
// which want the real thing rather than a double.
//
// Everything listens on loopback alone, behind a random password, and keeps its
// port and its data in a folder of its own, so that a second start finds what the
// first one left. No child outlives its parent, not even one that was killed.
package localstack
