package jobs

import (
	"fmt"
	"regexp"
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
		"tone":{"type":"string","maxLength":40,"description":"such as friendly or firm"},
		"language":{"type":"string","maxLength":40,"description":"name or code of a language","default":"English"}`

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

// hindi says whether the rules write in Hindi; all else is English to them.
func (w letterWish) hindi() bool {
	name, _, _ := strings.Cut(strings.ToLower(strings.TrimSpace(w.Language)), "-")
	switch name {
	case "hi", "hin", "hindi", "हिन्दी", "हिंदी":
		return true
	}
	return false
}

// A letter is what models and rules write to customers.
type letter struct {
	Subject string `json:"subject"`
	Body    string `json:"body"`
}
