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
	remedy    string // what the owner can do, if that is not enough
}

// lookAtModel asks Ollama what it has, and says what the owner can do if that is not enough.
func lookAtModel(ctx context.Context, c inference.Config) modelLook {
	groq := c.GroqKey != ""
	if !c.OllamaEnabled {
		if groq {
			return modelLook{reachable: true, text: "Groq alone (OLLAMA_ENABLED=false)"}
		}
		return modelLook{text: "none: OLLAMA_ENABLED=false and no GROQ_API_KEY_FALLBACK. AI jobs wait for a model."}
	}
	names, err := ollamaModels(ctx, c.OllamaURL)
	switch {
	case err != nil && groq:
		return modelLook{reachable: true, text: "Ollama at " + c.OllamaURL + " does not answer. Groq answers instead, for money.",
			remedy: "start Ollama, or correct OLLAMA_URL"}
	case err != nil:
		return modelLook{text: "Ollama at " + c.OllamaURL + " does not answer and no GROQ_API_KEY_FALLBACK is set. AI jobs wait for a model.",
			remedy: "install Ollama, then `ollama pull " + c.OllamaModels.Fast + "`; or set OLLAMA_URL, or GROQ_API_KEY_FALLBACK"}
	case !hasModel(names, c.OllamaModels.Fast):
		look := modelLook{reachable: groq, text: "Ollama at " + c.OllamaURL + " has no model " + c.OllamaModels.Fast + ".",
			remedy: "run `ollama pull " + c.OllamaModels.Fast + "`, or submit the job ai.pull_model"}
		if len(names) > 0 {
			look.remedy += ", or name one that it has (" + strings.Join(names, ", ") + ") in OLLAMA_MODEL"
		}
		if groq {
			look.text += " Groq answers instead, for money."
		}
		return look
	}
	text := "Ollama at " + c.OllamaURL + " with " + c.OllamaModels.Fast
	if !hasModel(names, c.OllamaModels.Large) {
		text += fmt.Sprintf(" (but not %s, for the tier large: run `ollama pull %s`, or set OLLAMA_MODEL_LARGE)",
			c.OllamaModels.Large, c.OllamaModels.Large)
	}
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
