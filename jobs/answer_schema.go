package jobs

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/payaid/payaid/internal/inference"
)

// fallbackReasons say in words why an answer is not by the first choice.
var fallbackReasons = []struct{ name, words string }{
	{inference.Unavailable, "it could not be reached"},
	{inference.Timeout, "it did not answer in the time that it had"},
	{inference.Truncated, "its answer broke off"},
	{inference.Server, "it had a fault of its own"},
	{inference.Overloaded, "it was too busy"},
	{inference.QueueFull, "too many questions waited for it"},
	{inference.BreakerOpen, "it failed before, and is left alone for a while"},
	{inference.Misconfigured, "it does not have the model, or none is set up"},
	{inference.Auth, "it refused our key"},
	{inference.Unsupported, "its model can't do what was asked"},
	{inference.TooLarge, "the prompt was too long for it"},
	{inference.SchemaInvalid, "its answer was not the JSON that was asked for"},
	{inference.Length, "its answer was cut by the limit on tokens"},
	{inference.OutOfBudget, "the organization's money for it was used up"},
	{inference.Unchecked, "it was not known how much money is left"},
}

// answerSchema describes an Answer whose document is described by doc, for the API's document. Outputs of several
// kinds have its title, so that readers are told of their common fields once.
func answerSchema(doc string) json.RawMessage {
	names, words := make([]string, len(fallbackReasons)), make([]string, len(fallbackReasons))
	for i, r := range fallbackReasons {
		names[i], words[i] = r.name, r.name+": "+r.words
	}
	return json.RawMessage(fmt.Sprintf(answerShape, doc, strings.Join(names, `","`), strings.Join(words, "; ")))
}

const answerShape = `{"title":"Answer","type":"object","additionalProperties":false,
	"required":["text","json","provider","model","prompt_tokens","completion_tokens","latency_ms","cached","fallback_reason","attempts"],
	"properties":{
		"text":{"type":"string","description":"the answer as text; where json has it too, the same"},
		"json":%s,
		"provider":{"enum":["ollama","groq","rules","cache"],"description":"who answered: ollama, the model in the house; groq, the fallback for money; rules, no model at all; cache, a model's answer to the same question that was kept"},
		"model":{"type":"string","description":"the model that answered, or once did what was kept; of rules the wording that they stand in for"},
		"prompt_tokens":{"type":"integer","minimum":0,"description":"tokens that the model read"},
		"completion_tokens":{"type":"integer","minimum":0,"description":"tokens that it wrote"},
		"latency_ms":{"type":"integer","minimum":0,"description":"milliseconds that answering took in the attempt that succeeded"},
		"cached":{"type":"boolean","description":"whether it is a kept answer"},
		"fallback_reason":{"enum":["%s",null],"description":"why the first choice did not answer, null where it did: %s"},
		"attempts":{"type":"array","description":"who was asked, in order","items":{"type":"object","additionalProperties":false,
			"required":["provider","model","outcome","latency_ms"],"properties":{
				"provider":{"enum":["ollama","groq","rules"]},
				"model":{"type":"string"},
				"outcome":{"type":"string","description":"ok, length where the client's max_tokens cut it, or what went wrong, as in fallback_reason"},
				"latency_ms":{"type":"integer","minimum":0,"description":"milliseconds, the wait for its turn among them"}}}}}}`

// documentSchema describes a document that has all of its fields, in this order.
func documentSchema(properties string, required ...string) string {
	return `{"type":"object","additionalProperties":false,"required":["` + strings.Join(required, `","`) + `"],"properties":{` + properties + `}}`
}
