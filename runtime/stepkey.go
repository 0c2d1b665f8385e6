package runtime

import (
	"fmt"
	"strings"
)

// StepKey turns a step id into a text that sorts as a reader counts: "/2" comes
// before "/10".
func StepKey(id string) string {
	var b strings.Builder
	number := ""
	flush := func() {
		if number != "" {
			fmt.Fprintf(&b, "%08s", number)
			number = ""
		}
	}
	for _, r := range id {
		if r >= '0' && r <= '9' {
			number += string(r)
			continue
		}
		flush()
		b.WriteRune(r)
	}
	flush()
	return b.String()
}
