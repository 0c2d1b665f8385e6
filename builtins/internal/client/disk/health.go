package disk

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/neosofia/runner/builtins/internal/client/host"
	"github.com/neosofia/runner/runtime/failure"
)

// smart is what is used of `smartctl --json --health --attributes`.
type smart struct {
	Device struct {
		Protocol string `json:"protocol"`
	} `json:"device"`
	Smartctl struct {
		Messages []struct {
			String string `json:"string"`
		} `json:"messages"`
	} `json:"smartctl"`
	Status *struct {
		Passed bool `json:"passed"`
	} `json:"smart_status"`
	Attributes struct {
		Table []struct {
			Name   string `json:"name"`
			Failed string `json:"when_failed"`
		} `json:"table"`
	} `json:"ata_smart_attributes"`
}

// Healthy asks a disk for its own opinion. That it has none, or that nobody can ask it,
// is a note and no error: many USB bridges do not pass the question on.
func Healthy(ctx context.Context, h host.Host, path string) (note string, err error) {
	r, err := h.Run(ctx, host.Command{Args: []string{"smartctl", "--json", "--health", "--attributes", path}})
	switch {
	case ctx.Err() != nil:
		return "", context.Cause(ctx)
	case errors.Is(err, host.ErrNoProgram):
		return "its health is not known: smartctl is not installed (apt-get install smartmontools)", nil
	case err != nil:
		return "its health is not known: " + err.Error(), nil
	}
	var s smart
	if json.Unmarshal(r.Stdout, &s) != nil {
		return fmt.Sprintf("its health is not known: smartctl ended with %d: %s", r.Exit, host.Tail(r.Stderr)), nil
	}
	if s.Status == nil {
		why := "it does not say"
		if len(s.Smartctl.Messages) > 0 {
			why = host.Tail([]byte(s.Smartctl.Messages[0].String))
		}
		return "its health is not known: " + why, nil
	}
	if !s.Status.Passed {
		said := "its SMART status is FAILED"
		for _, a := range s.Attributes.Table {
			if a.Failed == "now" {
				said += ": " + host.Tail([]byte(a.Name)) + " is past its threshold"
				break
			}
		}
		return "", &failure.Error{Code: CodeFailing, Doing: "ask " + path + " for its health", Said: said,
			Hint: "do not write to it; what is on it may still be read: copy it, then replace the disk (smartctl -a " + path + ")"}
	}
	return "", nil
}
