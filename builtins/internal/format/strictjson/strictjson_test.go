package strictjson

import (
	"errors"
	"strings"
	"testing"
	"testing/iotest"
)

type document struct {
	Name string `json:"name"`
}

func TestOneDocumentOfKnownFields(t *testing.T) {
	const most = 24
	for _, c := range []struct{ name, text, want string }{
		{"one document", `{"name":"erp"}`, ""},
		{"space around it", " {\"name\":\"erp\"}\n", ""},
		{"as long as it may be", `{"name":"erp"}          `, ""},
		{"longer than that", `{"name":"erp"}           `, "it has more than 24 bytes"},
		{"a field that is not known", `{"name":"a","x":1}`, "unknown field"},
		{"nothing", ``, "EOF"},
		{"a cut one", `{"name":"er`, "unexpected EOF"},
		{"another type", `{"name":1}`, "cannot unmarshal"},
		{"a second document", `{"name":"a"}{}`, "something follows it"},
		{"a brace that closes nothing", `{"name":"a"}}`, "something follows it"},
		{"a bracket that closes nothing", `{"name":"a"}]`, "something follows it"},
		{"words behind it", `{"name":"a"} ok`, "something follows it"},
	} {
		t.Run(c.name, func(t *testing.T) {
			for what, read := range map[string]func(*document) error{
				"Decode": func(d *document) error { return Decode([]byte(c.text), most, d) },
				"Read":   func(d *document) error { return Read(strings.NewReader(c.text), most, d) },
			} {
				var d document
				err := read(&d)
				switch {
				case c.want == "" && (err != nil || d.Name != "erp"):
					t.Errorf("%s: got %q, %v, want erp", what, d.Name, err)
				case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
					t.Errorf("%s: got %v, want %s", what, err, c.want)
				}
			}
		})
	}
}

func TestAReaderThatBreaksOffIsTold(t *testing.T) {
	broken := errors.New("the line broke")
	if err := Read(iotest.ErrReader(broken), 10, &document{}); !errors.Is(err, broken) {
		t.Errorf("got %v, want %v", err, broken)
	}
}
