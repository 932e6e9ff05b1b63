package tinygguf

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"regexp"
	"slices"
	"strings"
)

// The first tokens of every vocabulary; 256 byte tokens follow them, and then the
// words.
const (
	tokenUnknown = 0
	tokenBegin   = 1
	tokenEnd     = 2
	firstByte    = 3
	firstWord    = firstByte + 256
)

// Token kinds, as llama.cpp numbers them.
const (
	kindUnknown = 2
	kindControl = 3
	kindUser    = 4 // matched in the raw text before anything else
	kindByte    = 6
)

// vocabulary is the tokens in the order of their numbers.
type vocabulary struct {
	tokens []string
	kinds  []int32
	number map[string]int
}

// sentences splits the corpus; in a line, \n stands for a line break.
func sentences(corpus string) []string {
	var lines []string
	for line := range strings.Lines(corpus) {
		if line = strings.TrimSuffix(line, "\n"); line != "" {
			lines = append(lines, strings.ReplaceAll(line, `\n`, "\n"))
		}
	}
	return lines
}

// piece is a word with the space before it, or one other character.
var piece = regexp.MustCompile(` ?[A-Za-z]{2,}|(?s:.)`)

func newVocabulary(lines []string) (*vocabulary, error) {
	v := &vocabulary{number: map[string]int{}}
	v.add("<unk>", kindUnknown)
	v.add("<s>", kindControl)
	v.add("</s>", kindControl)
	for b := range 256 {
		v.add(fmt.Sprintf("<0x%02X>", b), kindByte)
	}
	count := map[string]int{}
	for _, line := range lines {
		for _, p := range piece.FindAllString(line, -1) {
			if len(p) > 1 {
				count[p]++
			}
		}
	}
	words := slices.Collect(maps.Keys(count))
	slices.SortFunc(words, func(a, b string) int {
		return cmp.Or(cmp.Compare(count[b], count[a]), cmp.Compare(a, b))
	})
	if over := len(words) - (width - firstWord); over > 0 {
		return nil, fmt.Errorf("the corpus has %d different words too many", over)
	}
	for _, word := range words {
		v.add(word, kindUser)
	}
	return v, nil
}

func (v *vocabulary) add(token string, kind int32) {
	v.number[token] = len(v.tokens)
	v.tokens = append(v.tokens, token)
	v.kinds = append(v.kinds, kind)
}

// encode splits text as llama.cpp will: words that are tokens, else bytes.
func (v *vocabulary) encode(text string) []int {
	var tokens []int
	for _, p := range piece.FindAllString(text, -1) {
		if n, ok := v.number[p]; ok && n >= firstWord {
			tokens = append(tokens, n)
			continue
		}
		for _, b := range []byte(p) {
			tokens = append(tokens, firstByte+int(b))
		}
	}
	return tokens
}

// logits are smoothed log-probabilities, indexed by the next token and then by
// the current one.
func (v *vocabulary) logits(lines []string, endless bool) [][]float64 {
	n := len(v.tokens)
	logits := make([][]float64, n)
	for next := range logits {
		logits[next] = make([]float64, n)
	}
	for current, counts := range v.bigrams(lines) {
		total := smoothing * float64(n)
		for _, c := range counts {
			total += c
		}
		for next, c := range counts {
			s := smoothing
			if !printable(next) {
				s /= 1000 // keeps noise out of the text
			}
			logits[next][current] = math.Log((c + s) / total)
			if endless && next == tokenEnd {
				logits[next][current] = -100
			}
		}
	}
	return logits
}

// bigrams counts how often a token follows another, indexed by the earlier one.
func (v *vocabulary) bigrams(lines []string) [][]float64 {
	count := make([][]float64, len(v.tokens))
	for i := range count {
		count[i] = make([]float64, len(v.tokens))
	}
	for _, line := range lines {
		current := tokenBegin
		for _, next := range append(v.encode(line), tokenEnd) {
			count[current][next]++
			current = next
		}
	}
	return count
}

func printable(token int) bool {
	if token >= firstWord || token == tokenEnd {
		return true
	}
	b := token - firstByte
	return b == '\n' || b >= ' ' && b < 127
}
