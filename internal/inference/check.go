package inference

import "encoding/json"

// CheckSchema finds what is wrong with a JSON schema before a prompt is sent
// with it. What it returns is an [*Error] with the place and a sentence for the
// client.
func CheckSchema(source json.RawMessage) error {
	if _, err := compileSchema(source); err != nil {
		return err
	}
	return nil
}
