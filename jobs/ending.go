package jobs

import "github.com/payaid/payaid/internal/inference"

// A Code names for good what a job failed of, in its error. The API's documents list them, and the type of the
// error points there.
type Code struct {
	Name    string
	Status  int // what the answer would have been, had the client waited
	Meaning string
}

// anyCodes are those that jobs of every kind may fail with.
var anyCodes = []Code{
	{codeDeadline, statusTimeout, "The job had not ended by its deadline."},
	{codeTimeout, statusTimeout, "The last attempt took longer than an attempt may."},
	{"worker_lost", statusUnprocessable, "The process that worked on the job died in every attempt."},
	{"work_discarded", statusUnprocessable, "The queue gave the job up without having worked on it to an end."},
	{codeInternal, statusInternal, "The job failed for a reason on our side; the request id finds it in our log."},
}

// modelCodes are those of questions to models. A model that is away is waited for, and is none of them.
var modelCodes = []Code{
	{inference.Request, statusUnprocessable, "The model can't be asked this: a schema that it can't follow, or a wish that it refuses."},
	{inference.SchemaInvalid, statusUnprocessable, "The model's answer doesn't satisfy the schema, nor did its second. The output holds it as invalid_answer."},
	{inference.Length, statusUnprocessable, "The answer was cut by the limit on tokens. The output holds what there is of it as invalid_answer."},
	{inference.TooLarge, statusUnprocessable, "The prompt is longer than the model's context window."},
	{inference.Unsupported, statusUnprocessable, "The model can't do what was asked, such as follow a schema."},
	{inference.Misconfigured, statusUnprocessable, "No provider has the model that the input names."},
}

var (
	codeOfNothing = Code{codeNotFound, statusUnprocessable, "There is no such record in the organization."}
	codeOfState   = Code{codeInvalidState, statusUnprocessable, "The record is in a state in which this can't be done; the detail says which."}
	codeOfOthers  = Code{codeForbidden, statusUnprocessable, "The record is another organization's, and the key not the operator's."}
)

// pullCodes are those of ai.pull_model.
var pullCodes = []Code{
	{inference.PullDisabled, statusUnprocessable, "There is no Ollama to pull a model (OLLAMA_ENABLED)."},
	{inference.PullUnreachable, statusUnprocessable, "The host of Ollama can't reach the registry."},
	{inference.PullInsecure, statusUnprocessable, "The registry speaks plain HTTP, and insecure was not set."},
	{inference.PullNoSuchModel, statusUnprocessable, "The registry has no such model, or doesn't give it to everybody."},
	{inference.PullDiskFull, statusUnprocessable, "The disk of Ollama's models is full."},
	{inference.PullStalled, statusUnprocessable, "Nothing more came for minutes; what came is kept."},
	{inference.PullDamaged, statusUnprocessable, "What came is not what the registry promised."},
	{inference.PullOllamaTooOld, statusUnprocessable, "The model needs a newer Ollama."},
	{inference.PullInvalidModelName, statusUnprocessable, "Ollama takes this for no name of a model."},
	{inference.PullFailed, statusUnprocessable, "Ollama could not pull the model; its log says why."},
}

// sampleCodes are those of db.index_sample.
var sampleCodes = []Code{
	{codeOldServer, statusUnprocessable, "The server is older than Postgres 15."},
}

// Codes are all that jobs of the kind may fail with, those of every kind at the end.
func (s Spec) Codes() []Code { return append(s.Fails[:len(s.Fails):len(s.Fails)], anyCodes...) }
