//go:build !race

package letter_test

const slowness = 1
