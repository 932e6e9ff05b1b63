// Package deploytest starts the production stack of deploy/compose.yaml by a Docker engine of its own, uses it as
// clients do, kills what it consists of, upgrades it and takes it down, and holds against each other what was
// accepted and what became of it. Its tests have the build tag deploytest, and are run by `make deploytest`, which
// brings the engine and the images.
package deploytest
