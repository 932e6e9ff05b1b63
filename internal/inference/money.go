package inference

import "math"

// defaultPrices are Groq's for its default models, August to November 2026.
var defaultPrices = map[string]Price{
	"openai/gpt-oss-20b":  {In: 0.075, Out: 0.30},
	"openai/gpt-oss-120b": {In: 0.15, Out: 0.60},
}

// nanoUSD is the price of a call in billionths of a dollar: a dollar for a
// million tokens is a thousand of them for one.
func (p Price) nanoUSD(prompt, completion int) int64 {
	return int64(math.Round((float64(prompt)*p.In + float64(completion)*p.Out) * 1000))
}

// guessTokens is about how many tokens a prompt has, rather too many: English has four bytes to one.
func guessTokens(messages []groqMessage) int {
	size := 0
	for _, m := range messages {
		size += len(m.Role) + len(m.Content)
	}
	return size/3 + 1
}

// atMost is what a call may cost at most. A token has two bytes or more, apart
// from text that is nothing but punctuation.
func (p Price) atMost(messages []Message, maxTokens int) int64 {
	size := 0
	for _, m := range messages {
		size += len(m.Role) + len(m.Content) + 8
	}
	return p.nanoUSD(size/2, maxTokens+reasoningRoom)
}
