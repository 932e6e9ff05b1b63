package inference

// Class names the models that a prompt may be answered by: prompts of one class are answered alike, whoever
// of them answers. It changes with the prompt's model and with the owner's configuration.
func (c *Chain) Class(p Prompt) string {
	r := &run{chain: c, prompt: p}
	r.choose()
	class := ""
	if c.ollama != nil {
		class += Ollama + " " + r.local + "\n"
	}
	if c.groq != nil {
		class += Groq + " " + r.remote + "\n"
	}
	return class
}
