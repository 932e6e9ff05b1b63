// Package inference answers a prompt: by the owner's Ollama first, by Groq as
// the fallback.
//
// # Who is asked, and for how long
//
// A prompt in [Interactive] mode has a budget from its first attempt on: 5 s
// for the fast tier, 8 s for the large one. Ollama has 60 % of it, the wait at
// the gate included, and is left early when no first token came within 40 % of
// that share: it is queueing or loading, and more waiting would spend Groq's
// part. Groq must begin to answer within the rest. A prompt in [Relaxed] mode
// gives Ollama minutes, and Groq is asked only when Ollama failed.
//
// Where calls wait at the gate before Ollama, an interactive prompt that would
// miss its share by what is ahead of it, as calls went lately, goes to Groq at
// once ("queue_full"), provided that Groq can be asked now.
//
// A budget says when to move on to someone else, never when to give up. So
// whoever is last in line has patience: Ollama has its relaxed time at once
// when Groq is not configured, forbidden, rate limited or behind an open
// breaker; an Ollama that was left for being slow is asked a second time, with
// its relaxed time, when Groq turned out to be away; and a Groq that has begun
// to answer may finish. A client with nothing but a slow Ollama gets its
// answer late rather than never.
//
// Ollama gives up loading a model when the client that caused the load leaves.
// A model that was left is therefore loaded by [Chain.Run], outside any budget,
// or it would stay cold for ever. Run also sees to it that such a model still
// generates: Ollama may keep the slot of an answer whose client has left, and
// is then healed by unloading the model. The models that are to be warm are
// loaded at the start and kept so, through idle hours and new starts of Ollama.
//
// # What counts as an answer
//
// The provider said that it is done, for the reason "stop", and the context
// lives. A stream that was cut, an empty body and a cancelled call are errors,
// although Ollama's client reports them as success. An answer that was cut by
// max_tokens is what the client asked for if it set max_tokens, wants no
// schema, and received that many tokens: a success with the outcome "length".
// In any other case it is asked for again, of the next provider and with twice
// the room if the limit was our default, and fails as "length" if that is cut
// as well. Who is last in line isn't asked again where it was cut short of the
// limit, by the model's window: more room would not help.
//
// # What a failure leads to
//
//	class           what happened                       Ollama          Groq            breaker
//	unavailable     refused, unknown host, reset        next            wait            counts
//	timeout         no answer in the time it had        next            wait            counts
//	truncated       the stream ended early              next            again once      counts
//	server          500, 502, 504, the runner died      next            again once      counts
//	overloaded      503, 429, 498                       next            after a pause   counts half
//	queue_full      no place at the gate in time        next            -               no
//	breaker_open    not asked                           next            wait            no
//	out_of_budget   the organization's money is used up -               wait            no
//	budget_unknown  nobody can say how much is left     -               wait            no
//	misconfigured   no such model                       next            wait            no
//	auth            401, 403                            next            wait            opens for 60 s
//	unsupported     the model can't do what was asked   next            fail            no
//	too_large       longer than the context window      next            fail            no
//	request         the client's mistake                fail            fail            no
//	schema_invalid  not the JSON that was asked for     again, next     again, fail     no
//	length          cut by max_tokens                   next            again, fail     no
//	cancelled       the caller left                     stop            stop            no
//
// "next" is the other provider. The last provider in line gets one more try
// after "truncated" and "server", whichever it is. "wait" and "fail" are
// [Error.Wait] and [Error.Permanent]. HTTP clients here never retry on their
// own.
package inference
