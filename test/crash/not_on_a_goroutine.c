/* A call that needs a goroutine, made from main, is a panic that says so. */
#include <weir.h>

int main(void)
{
        weir_chan *c = weir_chan_make(int, 0);
        int        v;

        weir_recv(c, &v);
        return 0;
}
