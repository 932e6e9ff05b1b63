package migrations

import (
	"io/fs"
	"maps"
	"testing/fstest"
	"time"
)

// WithFiles adds migrations to those of the product, and hurries.
func (m Migrator) WithFiles(more map[string]string) Migrator {
	all := fstest.MapFS{}
	entries, _ := files.ReadDir(".")
	for _, e := range entries {
		text, _ := fs.ReadFile(files, e.Name())
		all[e.Name()] = &fstest.MapFile{Data: text}
	}
	added := fstest.MapFS{}
	for name, text := range more {
		added[name] = &fstest.MapFile{Data: []byte(text)}
	}
	maps.Copy(all, added)
	m.files, m.lockTimeout, m.pace = all, 300*time.Millisecond, 30*time.Millisecond
	return m
}

// IndexOf is the index that a migration makes concurrently, by name and definition.
func IndexOf(text string) (name, definition string, ok bool) {
	index, ok := concurrentIndexOf(text)
	return index.name, index.definition, ok
}

// Text is a migration's file.
func Text(name string) string {
	text, err := files.ReadFile(name)
	if err != nil {
		panic(err)
	}
	return string(text)
}
