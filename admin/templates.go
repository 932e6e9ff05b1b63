package admin

import (
	"embed"
	"fmt"
	"html/template"
	"io"
	"io/fs"
	"maps"
	"path"
	"strings"
)

//go:embed templates/*.html
var templateFiles embed.FS

// templates are the pages by name: each file of templates/ but the layout and those whose names begin with parts, which
// every page can use.
type templates map[string]*template.Template

func parseTemplates(static func(string) (string, error)) (templates, error) {
	functions := maps.Clone(functions)
	functions["static"] = static
	base, err := template.New("layout.html").Funcs(functions).ParseFS(templateFiles, "templates/layout.html", "templates/parts*.html")
	if err != nil {
		return nil, fmt.Errorf("read the templates of the admin: %w", err)
	}
	names, err := fs.Glob(templateFiles, "templates/*.html")
	if err != nil {
		return nil, fmt.Errorf("read the templates of the admin: %w", err)
	}
	all := make(templates)
	for _, file := range names {
		name := strings.TrimSuffix(path.Base(file), ".html")
		if name == "layout" || strings.HasPrefix(name, "parts") {
			continue
		}
		t, err := base.Clone()
		if err == nil {
			_, err = t.ParseFS(templateFiles, file)
		}
		if err == nil && t.Lookup("main") == nil {
			err = fmt.Errorf("%s defines no main", file)
		}
		if err != nil {
			return nil, fmt.Errorf("read the templates of the admin: %w", err)
		}
		all[name] = t
	}
	return all, nil
}

func (t templates) execute(w io.Writer, name string, v view) error {
	page, ok := t[name]
	if !ok {
		return fmt.Errorf("show page %s: it has no template", name)
	}
	if err := page.ExecuteTemplate(w, "layout.html", v); err != nil {
		return fmt.Errorf("show page %s: %w", name, err)
	}
	return nil
}
