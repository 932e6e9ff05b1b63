package jobs

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"
)

// letterWish is how a client would like a letter to be: the part that inputs of letters share. Its words are the
// client's, so they go to the model with the data.
type letterWish struct {
	Tone     string `json:"tone"`
	Language string `json:"language"`
}

// wishProperties describe letterWish for the API's document.
const wishProperties = `
		"tone":{"type":"string","maxLength":40,"description":"such as friendly or firm. Without a model, rules follow these two in reminders: a friendly one is never harsher than after a week, a firm one asks for payment this week from the third day on; their other letters are always polite"},
		"language":{"type":"string","maxLength":40,"description":"name or code of a language. Rules write English and Hindi alone: in another the job waits for a model","default":"English"}`

const maxWish = 40 // characters

// aWord or a few, of any script: no punctuation that could be read as more than a wish.
var aWord = regexp.MustCompile(`^[\pL\pM][\pL\pM -]*$`)

func (w letterWish) wishFaults() []Fault {
	return append(wordFaults("/tone", w.Tone), wordFaults("/language", w.Language)...)
}

func wordFaults(pointer, word string) []Fault {
	switch {
	case word == "":
		return nil
	case utf8.RuneCountInString(word) > maxWish:
		return []Fault{{Pointer: pointer, Detail: fmt.Sprintf("must have at most %d characters", maxWish)}}
	case !aWord.MatchString(word):
		return []Fault{{Pointer: pointer, Detail: "must have letters, spaces and hyphens alone"}}
	}
	return nil
}

// hindi says whether the rules write in Hindi.
func (w letterWish) hindi() bool {
	return slices.Contains([]string{"hi", "hin", "hindi", "हिन्दी", "हिंदी"}, w.tongue())
}

// ruled says whether the rules can write in the language that is wished: they know English and Hindi.
func (w letterWish) ruled() bool {
	return w.hindi() || slices.Contains([]string{"", "en", "eng", "english", "अंग्रेज़ी", "अंग्रेजी"}, w.tongue())
}

// tongue is the language without its country: hi-IN is hi.
func (w letterWish) tongue() string {
	name, _, _ := strings.Cut(strings.ToLower(strings.TrimSpace(w.Language)), "-")
	return strings.TrimSpace(name)
}

// isGentle and isFirm sort the tones that the rules know; to all others they are deaf.
func (w letterWish) isGentle() bool {
	return w.sounds("friendly", "gentle", "soft", "warm", "kind", "polite")
}

func (w letterWish) isFirm() bool {
	return !w.isGentle() && w.sounds("firm", "strict", "stern", "serious")
}

func (w letterWish) sounds(tones ...string) bool {
	return slices.ContainsFunc(strings.Fields(strings.ToLower(w.Tone)), func(word string) bool { return slices.Contains(tones, word) })
}

// letterProperties describe letter for the API's document.
const letterProperties = `
		"subject":{"type":"string","description":"one line"},
		"body":{"type":"string","description":"plain text with line breaks"}`

var letterDocument = documentSchema(letterProperties, "subject", "body")

// A letter is what models and rules write to customers.
type letter struct {
	Subject string `json:"subject"`
	Body    string `json:"body"`
}
