package tinygguf

import (
	"bytes"
	"encoding/binary"
	"strings"
	"testing"
)

func written(t *testing.T, o Options) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := Write(&b, o); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestTheModelIsTheSameOnEveryRun(t *testing.T) {
	t.Parallel()
	first := written(t, Options{})
	for range 3 {
		if !bytes.Equal(first, written(t, Options{})) {
			t.Fatal("two runs wrote different models")
		}
	}
	if !bytes.Equal(first, written(t, Options{Layers: 1})) {
		t.Error("one layer is not the default")
	}
	if bytes.Equal(first, written(t, Options{Endless: true})) {
		t.Error("an endless model is the same as one that ends")
	}
	// Nothing but its size and time may grow with the layers.
	weights := 2 * (4*width*width + 3*width*ffn) // in half precision
	norms := 4 * 2 * width
	const names = 2048
	grown := len(written(t, Options{Layers: 2})) - len(first)
	if grown < weights+norms || grown > weights+norms+names {
		t.Errorf("a second layer adds %d bytes, want %d and its names", grown, weights+norms)
	}
}

func TestTheFileSaysWhatItIs(t *testing.T) {
	t.Parallel()
	model := written(t, Options{})
	if got := string(model[:4]); got != "GGUF" {
		t.Errorf("it begins with %q", got)
	}
	if got := binary.LittleEndian.Uint32(model[4:]); got != ggufVersion {
		t.Errorf("version %d, want %d", got, ggufVersion)
	}
	if len(model)%ggufAlignment != 0 {
		t.Errorf("%d bytes are no multiple of %d", len(model), ggufAlignment)
	}
}

func TestATensorOfTheWrongSizeIsRefused(t *testing.T) {
	t.Parallel()
	var f file
	f.add("t", make([]float32, 5), 2, 3)
	if err := f.writeTo(&bytes.Buffer{}); err == nil || !strings.Contains(err.Error(), "tensor t") {
		t.Errorf("5 values for a shape of 2 by 3: %v", err)
	}
}

func TestFloat16(t *testing.T) {
	t.Parallel()
	for value, want := range map[float32]uint16{
		0: 0, 1: 0x3c00, -2: 0xc000, 0.5: 0x3800, 65504: 0x7bff, 1e9: 0x7bff, -1e9: 0xfbff, 1e-9: 0,
		1.0 / 3: 0x3555, 0.1: 0x2e66,
	} {
		if got := float16(value); got != want {
			t.Errorf("%g = %#x, want %#x", value, got, want)
		}
	}
}
