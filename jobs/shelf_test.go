package jobs_test

import (
	"bytes"
	"context"
	"io"

	"github.com/payaid/payaid/internal/backup"
)

// Put implements backup.Remote.
func (s *shelf) Put(_ context.Context, name string, r io.ReaderAt, size int64, _ string) error {
	return s.do(func() (err error) {
		s.files[name], err = io.ReadAll(io.NewSectionReader(r, 0, size))
		return err
	})
}

// Open implements backup.Remote.
func (s *shelf) Open(_ context.Context, name string) (r io.ReadCloser, err error) {
	err = s.do(func() error {
		text, ok := s.files[name]
		if !ok {
			return &backup.Fault{Code: backup.NotFound, Detail: "not there"}
		}
		r = io.NopCloser(bytes.NewReader(text))
		return nil
	})
	return r, err
}

// List implements backup.Remote.
func (s *shelf) List(context.Context) (list []backup.Object, err error) {
	err = s.do(func() error {
		for name, text := range s.files {
			list = append(list, backup.Object{Name: name, Size: int64(len(text))})
		}
		return nil
	})
	return list, err
}

// Remove implements backup.Remote.
func (s *shelf) Remove(_ context.Context, name string) error {
	return s.do(func() error {
		delete(s.files, name)
		return nil
	})
}
