package runtime

import (
	"reflect"
	"strings"
	"testing"

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
