package cachetag

import (
	"bytes"
	"context"
	"testing"
)

// BenchmarkHit is a hit of 2 KiB under three tags, by many at once, and beside it the bare read that it is.
func BenchmarkHit(b *testing.B) {
	c, e := open(b, redisURL(b)), anEntry(b)
	e.Tags = []string{Contacts, Deals, Invoices}
	load := func(context.Context) ([]byte, error) { return bytes.Repeat([]byte("x"), 2048), nil }
	if _, _, err := c.Read(b.Context(), e, load); err != nil {
		b.Fatal(err)
	}
	keys := e.keys()
	for name, read := range map[string]func() error{
		"cache": func() error { _, _, err := c.Read(b.Context(), e, load); return err },
		"bare":  func() error { return c.client.MGet(b.Context(), keys...).Err() },
	} {
		b.Run(name+"/one", func(b *testing.B) {
			for b.Loop() {
				if err := read(); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(name+"/many", func(b *testing.B) {
			b.SetParallelism(32)
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if err := read(); err != nil {
						b.Error(err)
					}
				}
			})
		})
	}
}
