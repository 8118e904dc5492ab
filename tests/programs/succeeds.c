// A program that can be executed: it leaves at once, with status 0.

int main(void)
{
    return 0;
}
