package browser

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

// paths are the pages that an operator can get to: those of the navigation, and of each the first thing in its list.
func (b *tab) paths() (list []string) {
	b.t.Helper()
	seen := map[string]bool{}
	add := func(path string) {
		if path, _, _ = strings.Cut(path, "#"); path != "" && !seen[path] {
			seen[path] = true
			list = append(list, path)
		}
	}
	for _, path := range asked[[]string](b, `[...document.querySelectorAll("nav.side li a")].map(a => a.getAttribute("href"))`) {
		add(path)
		b.open(path)
		for _, deeper := range asked[[]string](b, `[...document.querySelectorAll("main .tabs a, [data-list] tbody tr:first-child a:first-of-type, [data-list] > li:first-child a")].map(a => a.getAttribute("href")).filter(h => h.startsWith("/admin/") && !h.startsWith("/admin/find")).slice(0, 6)`) {
			add(deeper)
		}
	}
	return list
}

// TestPages looks at every page of an installation at work: nobody is kept out by how it is built, nothing is forbidden
// by its own policy, and no script of it fails. In both themes.
func TestPages(t *testing.T) {
	s := start(t, "--demo")
	key := adminKey
	if *atFlag != "" {
		key = *keyFlag
	}
	b := s.tab(t)
	b.open("/admin/login")
	b.look("login", "/admin/login")
	b.signIn(key)
	for _, path := range b.paths() {
		b.open(path)
		b.calm(path)
		b.look(pictureOf(path), path)
	}
	b.calm("the last page")
}

func (b *tab) look(name, path string) {
	b.t.Helper()
	for _, theme := range []string{"light", "dark"} {
		b.theme(theme)
		b.accessible(fmt.Sprintf("%s, %s", path, theme))
		if *screenshots != "" {
			b.picture(name + "." + theme)
		}
	}
	if wide := asked[int](b, `document.documentElement.scrollWidth - document.documentElement.clientWidth`); wide > 0 {
		b.t.Errorf("%s is %d pixels wider than the window", path, wide)
	}
}

func pictureOf(path string) string {
	name := regexp.MustCompile(`[^a-z0-9]+`).ReplaceAllString(strings.TrimPrefix(path, "/admin/"), "-")
	return strings.Trim(name[:min(len(name), 60)], "-")
}

func (b *tab) picture(name string) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	png, err := chromedp.Run(ctx, chromedp.FullScreenshot(100))
	if err != nil {
		b.t.Fatalf("take a picture: %v", err)
	}
	if err := os.WriteFile(filepath.Join(*screenshots, name+".png"), png, 0o644); err != nil {
		b.t.Fatal(err)
	}
}

// accessible lets axe-core look at the page as it is.
func (b *tab) accessible(where string) {
	b.t.Helper()
	if !asked[bool](b, `typeof axe !== "undefined"`) {
		b.do("load axe", chromedp.Evaluate[chromedp.Void](b.axe))
	}
	found := asked[[]string](b, `axe.run(document, {resultTypes: ["violations"]}).then(r => r.violations
		.filter(v => v.impact === "serious" || v.impact === "critical")
		.map(v => v.id + ": " + v.help + ": " + v.nodes.slice(0, 4).map(n => n.html.slice(0, 200) + " (" + n.failureSummary + ")").join(" | ")))`)
	for _, f := range found {
		b.t.Errorf("%s: %s", where, f)
	}
}
