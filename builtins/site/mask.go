package site

import (
	"errors"
	"regexp"
	"strings"

	"github.com/neosofia/runner/runtime"
)

// secrets are texts that belong into the keyring and were typed into the site all the
// same; the group is what nobody is to read.
var secrets = []*regexp.Regexp{
	regexp.MustCompile(`(?i)(AGE-SECRET-KEY-[0-9A-Z-]+)`),
	regexp.MustCompile(`(-----BEGIN [A-Z ]*PRIVATE KEY-----[^"']*)`),
	regexp.MustCompile(`://[^\s"'/:@]*:([^\s"']+)@`),
	regexp.MustCompile(`(?i)\b(?:\w+_)?(?:password|passphrase|token|secret|ssh_key|private_key)["']?\s*[=:]\s*r?"((?:[^"\\]|\\.)+)`),
	regexp.MustCompile(`(?i)\b(?:\w+_)?(?:password|passphrase|token|secret|ssh_key|private_key)["']?\s*[=:]\s*r?'((?:[^'\\]|\\.)+)`),
	regexp.MustCompile(`\bkey\s*=\s*r?"((?:[^"\\]|\\.)+)`),
	regexp.MustCompile(`\bkey\s*=\s*r?'((?:[^'\\]|\\.)+)`),
}

// mask hides what is secret in a line, and keeps its columns: a caret stands below it.
func mask(text string) string {
	for _, secret := range secrets {
		var out strings.Builder
		end := 0
		for _, at := range secret.FindAllStringSubmatchIndex(text, -1) {
			out.WriteString(text[end:at[2]])
			out.WriteString(strings.Repeat("*", len([]rune(text[at[2]:at[3]]))))
			end = at[3]
		}
		text = out.String() + text[end:]
	}
	return text
}

// masked is an error without what is secret in its text.
func masked(err error) error {
	if err == nil {
		return nil
	}
	var t *runtime.Trace
	if errors.As(err, &t) {
		return &runtime.Trace{Frames: t.Frames, Line: mask(t.Line), Err: masked(t.Err)}
	}
	if text := mask(err.Error()); text != err.Error() {
		return errors.New(text)
	}
	return err
}
