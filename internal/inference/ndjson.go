package inference

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/ollama/ollama/api"
)

// maxLine bounds one line of Ollama's; a piece of an answer has a few hundred bytes.
const maxLine = 8 << 20

// chatLine is one line of Ollama's answer.
type chatLine struct {
	Error string `json:"error"`
	api.ChatResponse
}

// stream makes a call of /api/chat. Ollama's own client sets 8 MB aside for each, and clears them. Like that one
// it returns nil for a stream that was cut: whether the answer is done its lines tell.
func (o *ollama) stream(ctx context.Context, req *api.ChatRequest, each func(api.ChatResponse)) error {
	body, err := json.Marshal(req)
	if err != nil {
		return fmt.Errorf("encode the call: %w", err)
	}
	post, err := http.NewRequestWithContext(ctx, http.MethodPost, o.base.JoinPath("/api/chat").String(), bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("make the call: %w", err)
	}
	post.Header.Set("Content-Type", "application/json")
	post.Header.Set("Accept", "application/x-ndjson")
	post.Header.Set("User-Agent", "payaid")
	res, err := o.http.Do(post)
	if err != nil {
		return err // says the address and the cause
	}
	defer res.Body.Close()
	if res.StatusCode >= http.StatusBadRequest {
		return refusedChat(res)
	}
	lines := bufio.NewScanner(res.Body)
	lines.Buffer(make([]byte, 0, 4096), maxLine)
	for lines.Scan() {
		var line chatLine
		switch err := json.Unmarshal(lines.Bytes(), &line); {
		case err != nil && ctx.Err() == nil && lines.Err() == nil:
			return errNoChatLine
		case err != nil:
			return nil // half a line
		case line.Error != "":
			return errors.New(line.Error)
		}
		each(line.ChatResponse)
	}
	if errors.Is(lines.Err(), bufio.ErrTooLong) {
		return errNoChatLine
	}
	return nil
}

var errNoChatLine = errors.New("read answer: not a line of Ollama's")

// refusedChat reads an answer that is none.
func refusedChat(res *http.Response) error {
	raw, _ := io.ReadAll(io.LimitReader(res.Body, 64<<10)) // what came before a cut is enough
	refused := api.StatusError{StatusCode: res.StatusCode, Status: res.Status}
	if json.Unmarshal(raw, &refused) != nil {
		refused.ErrorMessage = string(raw)
	}
	return refused
}
