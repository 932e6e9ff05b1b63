package store

import "encoding/json"

// Places are how many jobs the process takes at a time, by queue. What another version wrote otherwise is left out.
func (p WorkerProcess) Places() map[string]int {
	var places map[string]int
	if json.Unmarshal(p.Queues, &places) != nil {
		return nil
	}
	return places
}
