// Takes a transactional id over by franz-go, commits numbers under it, aborts one more, and says
// so: BOOTSTRAP TOPIC ID FROM COUNT. Told by a line that another has the id, it tries to commit
// once more; that must be refused.
package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"
)

func must[T any](value T, err error) T {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	return value
}

func check(err error) {
	must(0, err)
}

func main() {
	ctx := context.Background()
	from := must(strconv.Atoi(os.Args[4]))
	count := must(strconv.Atoi(os.Args[5]))
	client := must(kgo.NewClient(
		kgo.SeedBrokers(strings.Split(os.Args[1], ",")...),
		kgo.DefaultProduceTopic(os.Args[2]),
		kgo.TransactionalID(os.Args[3]),
	))
	send := func(value string) error {
		return client.ProduceSync(ctx, kgo.StringRecord(value)).FirstErr()
	}
	check(client.BeginTransaction())
	for number := from; number < from+count; number++ {
		check(send(strconv.Itoa(number)))
	}
	check(client.EndTransaction(ctx, kgo.TryCommit))
	check(client.BeginTransaction())
	check(send("aborted"))
	check(client.EndTransaction(ctx, kgo.TryAbort))
	// left open: whoever comes next ends it
	check(client.BeginTransaction())
	check(send("left open"))
	fmt.Println("committed")
	_, _ = bufio.NewReader(os.Stdin).ReadString('\n')
	err := send("late")
	if err == nil {
		err = client.EndTransaction(ctx, kgo.TryCommit)
	}
	if err == nil {
		fmt.Println("not refused")
	} else {
		fmt.Println("refused:", err)
	}
}
