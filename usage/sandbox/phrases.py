"""What the sandbox says. Chinese prompts get Chinese answers."""

OPENING = {
    "en": "This is the MegaDash sandbox, answering in place of {model}; no provider was called.",
    "zh": "这里是 MegaDash 沙盒，代替 {model} 作答，没有调用任何服务商。",
}
SENTENCES = {
    "en": (
        "The sky looks blue because short waves of light scatter more than long ones.",
        "A good error message says what happened, why, and what to do next.",
        "Measure first, then change one thing, then measure again.",
        "Ada Lovelace wrote about engines that would weave patterns of algebra.",
        "Grace Hopper kept pieces of wire the length of a nanosecond to show what time costs.",
        "Water boils at a lower temperature on a mountain, so tea there is never quite as hot.",
        "Most slow pages are waiting for one query that nobody has looked at.",
        "If two counters disagree, trust the one that can be recomputed from the events.",
        "The shortest way home is sometimes the one with fewer traffic lights.",
        "Tokens are pieces of words, and rare words are cut into more of them.",
        "A cache is a promise that yesterday's answer is still good enough.",
        "Sunflowers turn with the sun while they grow and face east once they are grown.",
        "Write the test for the case that worries you, not for the one that already works.",
        "Rivers bend because the outer bank is always worn away a little faster.",
        "A budget is easier to keep when everybody can see how much is left.",
        "Bees tell each other where the flowers are by dancing in the dark.",
    ),
    "zh": (
        "天空看起来是蓝色的，因为短波光比长波光更容易散射。",
        "好的错误信息会说明发生了什么、为什么，以及接下来该怎么办。",
        "先测量，再只改一处，然后重新测量。",
        "山上的水沸点更低，所以那里的茶总是不够烫。",
        "大多数缓慢的页面，都在等一条没人看过的查询。",
        "两个计数不一致时，请相信能从事件重新算出来的那一个。",
        "词元是词的片段，越少见的词会被切得越碎。",
        "缓存是一种承诺：昨天的答案今天仍然够用。",
        "河流会弯曲，因为外侧的河岸总是被冲刷得更快一些。",
        "当每个人都能看到还剩多少时，预算就更容易守住。",
        "蜜蜂在黑暗中跳舞，告诉同伴花在哪里。",
        "向日葵生长时追着太阳转，长成后便一直朝着东方。",
    ),
}
