// Package tinygguf writes a very small language model that a real Ollama loads,
// so that tests talk to a real Ollama without a download, a GPU, or more than a
// few milliseconds of computing for a token.
//
// The weights are not trained. They are worked out from a corpus of a few dozen
// business sentences, so that the network, a llama of width 512, computes a
// word-bigram model:
//
//   - every token has a one-hot embedding, so that the residual stream says which
//     token this is;
//   - the attention layer has zero queries and keys, so that every head attends
//     evenly to all of the context: it adds a little of the context's bag of
//     words, which pulls the answer towards the words of the prompt;
//   - the feed-forward layer is zero;
//   - the output matrix holds the smoothed log-probabilities of the bigrams.
//
// Its answers look like business English, stop by themselves, and follow a JSON
// schema where one is asked for. The output is the same on every run.
package tinygguf

import (
	_ "embed"
	"fmt"
	"io"
	"math"
)

// Modelfile is what Ollama needs to know besides the weights, without FROM. One
// thread does: several wait for each other after every layer by spinning, which
// makes a token take seconds on a machine whose processors are busy with tests.
const Modelfile = `TEMPLATE """{{- range .Messages }}{{ .Role }}: {{ .Content }}
{{ end }}assistant:"""
PARAMETER num_thread 1
PARAMETER temperature 0.7
PARAMETER repeat_penalty 1.1
PARAMETER num_predict 128
PARAMETER stop "user:"
`

// EndlessModelfile is Modelfile without the limit on the answer's length.
const EndlessModelfile = `TEMPLATE """{{- range .Messages }}{{ .Role }}: {{ .Content }}
{{ end }}assistant:"""
PARAMETER num_thread 1
PARAMETER temperature 0.7
PARAMETER num_predict -1
`

//go:embed corpus.txt
var corpus string

const (
	width   = 512 // at least the vocabulary's size, because embeddings are one-hot
	heads   = 8
	ffn     = 32
	context = 4096

	// The context's bag of words weighs this much beside the last token.
	contextWeight = 0.15
	// Bigrams that the corpus lacks count this much, so that a grammar may force
	// any of them.
	smoothing = 0.0005
)

// Options make the model slower or more talkative than the 3 MB that it is by
// default.
type Options struct {
	// Layers past the first change nothing but the time that a token takes, and
	// add 2 MB each. 0 is 1.
	Layers int
	// Endless takes away the end token: an answer runs until a limit on its
	// length, or until the client leaves.
	Endless bool
}

// Write writes the model as a GGUF file.
func Write(w io.Writer, o Options) error {
	if o.Layers == 0 {
		o.Layers = 1
	}
	lines := sentences(corpus)
	v, err := newVocabulary(lines)
	if err != nil {
		return fmt.Errorf("write tiny model: %w", err)
	}
	g := &file{}
	describe(g, v, o.Layers)
	addTensors(g, v.logits(lines, o.Endless), o.Layers)
	if err := g.writeTo(w); err != nil {
		return fmt.Errorf("write tiny model: %w", err)
	}
	return nil
}

// describe sets the metadata that llama.cpp asks for.
func describe(g *file, v *vocabulary, layers int) {
	g.setString("general.architecture", "llama")
	g.setString("general.name", "tiny")
	g.setUint32("general.file_type", 1)
	g.setUint32("llama.context_length", context)
	g.setUint32("llama.embedding_length", width)
	g.setUint32("llama.block_count", uint32(layers))
	g.setUint32("llama.feed_forward_length", ffn)
	g.setUint32("llama.attention.head_count", heads)
	g.setUint32("llama.attention.head_count_kv", heads)
	g.setFloat32("llama.attention.layer_norm_rms_epsilon", 1e-6)
	g.setUint32("llama.rope.dimension_count", width/heads)
	g.setUint32("llama.vocab_size", uint32(len(v.tokens)))
	g.setString("tokenizer.ggml.model", "llama")
	g.setString("tokenizer.ggml.pre", "default")
	g.setStrings("tokenizer.ggml.tokens", v.tokens)
	g.setFloat32s("tokenizer.ggml.scores", make([]float32, len(v.tokens)))
	g.setInt32s("tokenizer.ggml.token_type", v.kinds)
	g.setUint32("tokenizer.ggml.bos_token_id", tokenBegin)
	g.setUint32("tokenizer.ggml.eos_token_id", tokenEnd)
	g.setUint32("tokenizer.ggml.unknown_token_id", tokenUnknown)
	g.setBool("tokenizer.ggml.add_bos_token", true)
	g.setBool("tokenizer.ggml.add_eos_token", false)
	g.setBool("tokenizer.ggml.add_space_prefix", false)
}

// addTensors lays out the network. After RMS norm a one-hot vector has the value
// sqrt(width) at its place, which the weights below it undo.
func addTensors(g *file, logits [][]float64, layers int) {
	root := float32(math.Sqrt(width))
	n := len(logits)
	output := make([]float32, n*width)
	for next, row := range logits {
		for current, logit := range row {
			output[next*width+current] = float32(logit) / root
		}
	}
	g.add("token_embd.weight", diagonal(n, 1), width, uint64(n))
	g.add("output_norm.weight", ones(width), width)
	g.add("output.weight", output, width, uint64(n))

	// The layers past the first share these.
	zero, one, narrow := make([]float32, width*width), diagonal(width, 1), make([]float32, width*ffn)
	mix := diagonal(width, contextWeight/root)
	for l := range layers {
		block := fmt.Sprintf("blk.%d.", l)
		g.add(block+"attn_norm.weight", ones(width), width)
		g.add(block+"attn_q.weight", zero, width, width)
		g.add(block+"attn_k.weight", zero, width, width)
		g.add(block+"attn_v.weight", one, width, width)
		g.add(block+"attn_output.weight", mix, width, width)
		g.add(block+"ffn_norm.weight", ones(width), width)
		g.add(block+"ffn_gate.weight", narrow, width, ffn)
		g.add(block+"ffn_up.weight", narrow, width, ffn)
		g.add(block+"ffn_down.weight", narrow, ffn, width)
		mix = zero
	}
}

// diagonal has n rows of the network's width.
func diagonal(n int, value float32) []float32 {
	m := make([]float32, n*width)
	for i := range n {
		m[i*width+i] = value
	}
	return m
}

func ones(n int) []float32 {
	m := make([]float32, n)
	for i := range m {
		m[i] = 1
	}
	return m
}
