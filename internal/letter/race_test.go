//go:build race

package letter_test

// slowness is by how much the race detector slows what walks over bytes.
const slowness = 10
