package browser

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"github.com/payaid/payaid/internal/localstack"
)

// A tab is a tab of a browser of its own, which nobody has signed in with yet.
type tab struct {
	t    *testing.T
	ctx  context.Context
	site *site
	axe  string

	mu       sync.Mutex
	troubles []string // what the browser complained of
}

func (s *site) tab(t *testing.T) *tab {
	t.Helper()
	chromium, axe := localstack.TestBrowser(t)
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(chromium), chromedp.NoSandbox, chromedp.WindowSize(1400, 900),
		chromedp.WSURLReadTimeout(patience))
	allocated, cancelAllocator := chromedp.NewExecAllocator(context.WithoutCancel(t.Context()), options...)
	ctx, cancel := chromedp.NewContext(allocated)
	b := &tab{t: t, ctx: ctx, site: s, axe: axe}
	if err := chromedp.Do(ctx); err != nil { // without a deadline, which would be the browser's
		t.Fatalf("start the browser: %v", err)
	}
	target := chromedp.FromContext(ctx).Target
	var listening sync.WaitGroup
	listen(&listening, cdp.Events(ctx, target, runtime.ExceptionThrown), func(e runtime.EventExceptionThrown) {
		b.trouble(e.ExceptionDetails.Text + " " + described(e.ExceptionDetails.Exception))
	})
	listen(&listening, cdp.Events(ctx, target, runtime.ConsoleAPICalled), func(e runtime.EventConsoleAPICalled) {
		if e.Type == runtime.ConsoleAPICalledTypeError || e.Type == runtime.ConsoleAPICalledTypeWarning {
			b.trouble(described(e.Args...))
		}
	})
	listen(&listening, cdp.Events(ctx, target, log.EntryAdded), func(e log.EventEntryAdded) {
		if e.Entry.Level == log.EntryLevelError || e.Entry.Source == log.EntrySourceSecurity {
			b.trouble(fmt.Sprintf("%s: %s (%s)", e.Entry.Source, e.Entry.Text, e.Entry.URL))
		}
	})
	t.Cleanup(func() {
		cancel()
		cancelAllocator()
		listening.Wait()
	})
	b.do("listen to the browser", func(ctx context.Context, target *chromedp.Target) (none chromedp.Void, err error) {
		if _, err = cdp.Call(ctx, target, log.Enable, cdp.Empty{}); err == nil {
			_, err = cdp.Call(ctx, target, runtime.Enable, cdp.Empty{})
		}
		return none, err
	})
	return b
}

func listen[E any](group *sync.WaitGroup, events iter.Seq2[E, error], hear func(E)) {
	group.Go(func() {
		for e, err := range events {
			if err != nil {
				return
			}
			hear(e)
		}
	})
}

func described(args ...*runtime.RemoteObject) string {
	var said []string
	for _, a := range args {
		if a != nil {
			said = append(said, a.Description+string(a.Value))
		}
	}
	return strings.Join(said, " ")
}

// trouble notes what a page does that none should: errors, and what its policy forbids.
func (b *tab) trouble(text string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.troubles = append(b.troubles, text)
}

// calm fails the test for what pages did since it was last asked.
func (b *tab) calm(where string) {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, trouble := range b.troubles {
		b.t.Errorf("%s: %s", where, trouble)
	}
	b.troubles = nil
}

// do carries out actions, and fails the test where one takes too long.
func (b *tab) do(what string, actions ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	if err := chromedp.Do(ctx, actions...); err != nil {
		b.stop("%s: %v", what, err)
	}
}

// stop ends the test with what stands on the page.
func (b *tab) stop(format string, args ...any) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, 10*time.Second)
	defer cancel()
	shown, _ := chromedp.Run(ctx, chromedp.Evaluate[string](`location.href + "\n" + document.body.innerText.slice(0, 3000)`))
	b.t.Fatalf(format+"\nat %s", append(args, shown)...)
}

// open goes to a path and waits until it is drawn.
func (b *tab) open(path string) {
	b.t.Helper()
	b.do("open "+path, chromedp.Navigate(b.site.url+path))
	b.until("the page is there", `document.readyState === "complete" && document.querySelector("main") !== null`)
}

// signIn opens the pages as who holds that key.
func (b *tab) signIn(key string) {
	b.t.Helper()
	b.open("/admin/login?next=/admin/settings")
	b.do("sign in", chromedp.SendKeys(chromedp.CSS("#key"), key+"\n"))
	b.until("signed in", `document.querySelector("nav.side") !== null && document.readyState === "complete"`)
}

// says waits until a text stands on the page.
func (b *tab) says(text string) {
	b.t.Helper()
	b.until(fmt.Sprintf("the page says %q", text), `document.body.innerText.includes(`+quoted(text)+`)`)
}

// click clicks the first element that a selector finds, when it is there.
func (b *tab) click(selector string) {
	b.t.Helper()
	b.do("click "+selector, chromedp.Click(chromedp.CSS(selector)))
}

// follow goes where the first of these links leads whose text begins so, in letters of any case.
func (b *tab) follow(what, selector, text string) {
	b.t.Helper()
	link := `[...document.querySelectorAll(` + quoted(selector) + `)].find(a => a.innerText.trim().toLowerCase().startsWith(` + quoted(strings.ToLower(text)) + `))`
	b.until(what+" is there", link+` !== undefined`)
	b.do("follow "+what, chromedp.Evaluate[chromedp.Void](`window.left = true; `+link+`.click(); void 0`))
	b.until(what+" leads to a page", `window.left === undefined && document.readyState === "complete" && document.querySelector("main") !== null`)
}

// until waits until an expression is true, on this page or the one that comes after it.
func (b *tab) until(what, expression string) {
	b.t.Helper()
	b.untilWithin(patience, what, expression)
}

// untilWithin waits as until does, as long as that.
func (b *tab) untilWithin(patience time.Duration, what, expression string) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	again := time.NewTicker(100 * time.Millisecond)
	defer again.Stop()
	for {
		// It fails while one page makes way for another.
		if is, err := chromedp.Run(ctx, chromedp.Evaluate[bool](expression)); err == nil && is {
			return
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			b.stop("%s: it never did (%s)", what, expression)
		}
	}
}

// asked is the value of an expression.
func asked[T any](b *tab, expression string) T {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	value, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	if err != nil {
		b.stop("ask %s: %v", expression, err)
	}
	return value
}

// press types keys to whatever has the focus.
func (b *tab) press(keys string) {
	b.t.Helper()
	b.do("press "+keys, chromedp.KeyEvent(keys))
}

// theme makes the pages dark or light, as the system of the reader would.
func (b *tab) theme(name string) {
	b.t.Helper()
	b.do("turn "+name, func(ctx context.Context, target *chromedp.Target) (none chromedp.Void, err error) {
		_, err = cdp.Call(ctx, target, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: name}, {Name: "prefers-reduced-motion", Value: "reduce"}}})
		return none, err
	})
}

// scripts allows scripts, or has pages work without.
func (b *tab) scripts(allowed bool) {
	b.t.Helper()
	b.do("switch scripts", func(ctx context.Context, target *chromedp.Target) (none chromedp.Void, err error) {
		_, err = cdp.Call(ctx, target, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: !allowed})
		return none, err
	})
}

func quoted(text string) string {
	data, _ := json.Marshal(text)
	return string(data)
}
