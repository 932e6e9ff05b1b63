package tinygguf

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"math"
)

// What a small llama needs of GGUF version 3: a header, metadata, descriptions of
// the tensors, padding, and the tensors' data. All numbers are little-endian. See
// docs/gguf.md in the ggml repository.
const (
	ggufVersion   = 3
	ggufAlignment = 32
)

// Types of metadata, as GGUF numbers them.
const (
	typeUint32  = 4
	typeInt32   = 5
	typeFloat32 = 6
	typeBool    = 7
	typeString  = 8
	typeArray   = 9
)

// Types of tensors.
const (
	tensorFloat32 = 0
	tensorFloat16 = 1
)

type file struct {
	entries  uint64
	metadata bytes.Buffer
	tensors  []tensor
}

type tensor struct {
	name string
	dims []uint64 // the fastest-varying one first
	kind uint32
	data []float32
}

// put writes numbers to a buffer, which takes all that it is given.
func put(b *bytes.Buffer, values ...any) {
	for _, v := range values {
		if text, ok := v.(string); ok {
			binary.Write(b, binary.LittleEndian, uint64(len(text)))
			b.WriteString(text)
			continue
		}
		binary.Write(b, binary.LittleEndian, v)
	}
}

func (f *file) set(key string, kind uint32, values ...any) {
	f.entries++
	put(&f.metadata, key, kind)
	put(&f.metadata, values...)
}

func (f *file) setUint32(key string, v uint32)   { f.set(key, typeUint32, v) }
func (f *file) setFloat32(key string, v float32) { f.set(key, typeFloat32, v) }
func (f *file) setBool(key string, v bool)       { f.set(key, typeBool, v) }
func (f *file) setString(key string, v string)   { f.set(key, typeString, v) }

func (f *file) setInt32s(key string, v []int32) {
	f.set(key, typeArray, uint32(typeInt32), uint64(len(v)), v)
}

func (f *file) setFloat32s(key string, v []float32) {
	f.set(key, typeArray, uint32(typeFloat32), uint64(len(v)), v)
}

func (f *file) setStrings(key string, v []string) {
	f.set(key, typeArray, uint32(typeString), uint64(len(v)))
	for _, text := range v {
		put(&f.metadata, text)
	}
}

// add appends a tensor: in half precision, except for vectors, which are norms,
// and which llama.cpp wants in single.
func (f *file) add(name string, data []float32, dims ...uint64) {
	kind := uint32(tensorFloat16)
	if len(dims) == 1 {
		kind = tensorFloat32
	}
	f.tensors = append(f.tensors, tensor{name, dims, kind, data})
}

func (f *file) writeTo(w io.Writer) error {
	out := bufio.NewWriterSize(w, 1<<20)
	head, err := f.head()
	if err != nil {
		return err
	}
	if _, err := out.Write(head); err != nil {
		return err
	}
	for _, t := range f.tensors {
		if err := t.writeTo(out); err != nil {
			return err
		}
	}
	return out.Flush()
}

func (f *file) head() ([]byte, error) {
	var b bytes.Buffer
	b.WriteString("GGUF")
	put(&b, uint32(ggufVersion), uint64(len(f.tensors)), f.entries, f.metadata.Bytes())
	var offset uint64
	for _, t := range f.tensors {
		values := uint64(1)
		for _, d := range t.dims {
			values *= d
		}
		if values != uint64(len(t.data)) {
			return nil, fmt.Errorf("tensor %s: %d values for the shape %v", t.name, len(t.data), t.dims)
		}
		put(&b, t.name, uint32(len(t.dims)), t.dims, t.kind, offset)
		offset += t.size() + padding(t.size())
	}
	b.Write(make([]byte, padding(uint64(b.Len()))))
	return b.Bytes(), nil
}

func (t tensor) size() uint64 {
	if t.kind == tensorFloat16 {
		return uint64(len(t.data)) * 2
	}
	return uint64(len(t.data)) * 4
}

func (t tensor) writeTo(w io.Writer) error {
	b := make([]byte, 0, t.size()+ggufAlignment)
	for _, v := range t.data {
		if t.kind == tensorFloat16 {
			b = binary.LittleEndian.AppendUint16(b, float16(v))
		} else {
			b = binary.LittleEndian.AppendUint32(b, math.Float32bits(v))
		}
	}
	_, err := w.Write(append(b, make([]byte, padding(t.size()))...))
	return err
}

func padding(n uint64) uint64 { return (ggufAlignment - n%ggufAlignment) % ggufAlignment }

// float16 rounds to the nearest IEEE 754 half; what is too small becomes zero,
// and what is too large the largest finite number.
func float16(f float32) uint16 {
	const mantissa, half = 0x7fffff, 0x1000
	bits := math.Float32bits(f)
	sign := uint16(bits>>16) & 0x8000
	exponent := int32(bits>>23&0xff) - 127 + 15
	switch {
	case exponent <= 0:
		return sign
	case exponent >= 31:
		return sign | 0x7bff
	}
	h := uint16(exponent)<<10 | uint16(bits&mantissa>>13)
	if bits&half != 0 {
		h++
	}
	return sign | h
}
