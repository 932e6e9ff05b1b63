package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/payaid/payaid/internal/inference"
)

// modelLook is what a look at the model host shows.
type modelLook struct {
	reachable bool // somebody can answer prompts
	text      string
}

// lookAtModel asks Ollama what it has, and says what the owner can do if that is not enough.
func lookAtModel(ctx context.Context, c inference.Config) modelLook {
	groq := c.GroqKey != ""
	fallback := " Groq answers instead."
	if !groq {
		fallback = ""
	}
	if !c.OllamaEnabled {
		if groq {
			return modelLook{reachable: true, text: "Groq alone (OLLAMA_ENABLED=false)"}
		}
		return modelLook{text: "none: OLLAMA_ENABLED=false and no GROQ_API_KEY_FALLBACK. AI jobs wait for a model."}
	}
	names, err := ollamaModels(ctx, c.OllamaURL)
	switch {
	case err != nil && groq:
		return modelLook{reachable: true, text: "Ollama at " + c.OllamaURL + " does not answer." + fallback}
	case err != nil:
		return modelLook{text: fmt.Sprintf("Ollama at %s does not answer and no GROQ_API_KEY_FALLBACK is set. AI jobs wait for a model:\n"+
			"             install Ollama, then `ollama pull %s`; or set OLLAMA_URL, or GROQ_API_KEY_FALLBACK.",
			c.OllamaURL, c.OllamaModels.Fast)}
	case !hasModel(names, c.OllamaModels.Fast):
		return modelLook{reachable: groq, text: fmt.Sprintf("Ollama at %s has no model %s; run `ollama pull %s`, or name one that it has (%s) in OLLAMA_MODEL.%s",
			c.OllamaURL, c.OllamaModels.Fast, c.OllamaModels.Fast, strings.Join(names, ", "), fallback)}
	}
	text := "Ollama at " + c.OllamaURL + " with " + c.OllamaModels.Fast
	if groq {
		text += ", Groq as the fallback"
	}
	return modelLook{reachable: true, text: text}
}

func hasModel(names []string, name string) bool {
	return slices.Contains(names, name) || slices.Contains(names, name+":latest")
}

// ollamaModels lists the models that an Ollama has.
func ollamaModels(ctx context.Context, base string) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimRight(base, "/")+"/api/tags", nil)
	if err != nil {
		return nil, err
	}
	response, err := (&http.Client{Transport: &http.Transport{}}).Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	var tags struct {
		Models []struct {
			Name string `json:"name"`
		} `json:"models"`
	}
	if err := json.NewDecoder(response.Body).Decode(&tags); err != nil {
		return nil, fmt.Errorf("list Ollama's models: %w", err)
	}
	var names []string
	for _, m := range tags.Models {
		names = append(names, m.Name)
	}
	return names, nil
}
