package runtime

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"go.starlark.net/starlark"
)

func TestAStringWhereANumberIsWantedSaysHowToMakeOne(t *testing.T) {
	err := want(reflect.TypeFor[int](), starlark.String("9100"))
	if err == nil || !strings.Contains(err.Error(), "got string, want int\nhint: int(…) makes one") {
		t.Errorf("got %v", err)
	}
	if err := want(reflect.TypeFor[int](), starlark.True); err == nil || strings.Contains(err.Error(), "hint") {
		t.Errorf("got %v, want no hint for a bool", err)
	}
}

// One argument may stand alone where it is the one that a reader expects.
func TestALoneArgumentNeedsNoName(t *testing.T) {
	type one struct {
		Zone  string `star:"zone"`
		Asset string `star:"asset?"`
	}
	type two struct {
		VMID  int64  `star:"vmid"`
		Token string `star:"token"`
	}
	type later struct {
		Guest string `star:"guest?"`
		VMID  int64  `star:"vmid"`
	}
	text := starlark.String("example.org")
	var o one
	if err := unpackInto("export_dns", &o, starlark.Tuple{text}, nil); err != nil || o.Zone != "example.org" {
		t.Errorf("got %v, %+v", err, o)
	}
	for name, err := range map[string]error{
		"two of them":          unpackInto("f", &one{}, starlark.Tuple{text, text}, nil),
		"one beside a name":    unpackInto("f", &one{}, starlark.Tuple{text}, []starlark.Tuple{{starlark.String("asset"), text}}),
		"another is missing":   unpackInto("f", &two{}, starlark.Tuple{starlark.MakeInt(1)}, nil),
		"it is not the wanted": unpackInto("f", &later{}, starlark.Tuple{text}, nil),
	} {
		if err == nil || !strings.Contains(err.Error(), "f: arguments are named") {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestADurationIsATextOrSeconds(t *testing.T) {
	type args struct {
		Age time.Duration `star:"age"`
	}
	for text, v := range map[string]starlark.Value{"a text": starlark.String("90d"), "seconds": starlark.MakeInt(90 * 86400)} {
		var a args
		if err := unpackInto("f", &a, nil, []starlark.Tuple{{starlark.String("age"), v}}); err != nil || a.Age != 90*24*time.Hour {
			t.Errorf("%s: got %v, %v", text, a.Age, err)
		}
	}
	for _, v := range []starlark.Value{starlark.MakeInt(-1), starlark.MakeUint64(1 << 63), starlark.Float(1)} {
		var a args
		if err := unpackInto("f", &a, nil, []starlark.Tuple{{starlark.String("age"), v}}); err == nil ||
			!strings.Contains(err.Error(), "want a duration") {
			t.Errorf("%v: got %v, %v", v, a.Age, err)
		}
	}
}
