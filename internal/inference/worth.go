package inference

// Worth is what Groq takes at its model of the fast tier for so many tokens, in billionths of a dollar: what an
// answer that was had otherwise has saved.
func (c Config) Worth(prompt, completion int) (model string, nanoUSD int64) {
	c = c.withDefaults()
	return c.GroqModels.Fast, c.Prices[c.GroqModels.Fast].nanoUSD(prompt, completion)
}
