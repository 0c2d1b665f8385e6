package ledger

import (
	"encoding/json"
	"testing"
)

// Records hold the origin as an object whose names are sorted; one that is read and
// written again is the same, or a step that is resumed would not match its record.
func TestAnOriginIsWrittenAsItWasRead(t *testing.T) {
	for _, text := range []string{
		`{"id":"a","origin":{"host":"pve1","dir":"/x"}}`,
		`{"id":"a","origin":{"identity":"u","name":"erp","node":"pve1","path":"/p","storage":"local","system":"pve","type":"qemu","upid":"UPID:","vmid":"100","volid":"local:backup/x"}}`,
		`{"id":"a","origin":{"spool":"s"}}`,
		`{"id":"a"}`,
	} {
		var a Artifact
		if err := json.Unmarshal([]byte(text), &a); err != nil {
			t.Fatal(err)
		}
		raw, err := json.Marshal(a)
		if err != nil {
			t.Fatal(err)
		}
		var got, want struct {
			Origin json.RawMessage `json:"origin"`
		}
		var sorted map[string]string
		if json.Unmarshal(raw, &got) != nil || json.Unmarshal([]byte(text), &want) != nil || len(want.Origin) > 0 &&
			json.Unmarshal(want.Origin, &sorted) != nil {
			t.Fatal("the test is wrong")
		}
		if len(sorted) > 0 {
			if want.Origin, err = json.Marshal(sorted); err != nil {
				t.Fatal(err)
			}
		}
		if string(got.Origin) != string(want.Origin) {
			t.Errorf("got %s, want %s", got.Origin, want.Origin)
		}
	}
}
